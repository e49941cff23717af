"""What goes wrong, as exceptions of one family."""


class Error(Exception):
    """Something that lithify could not do.

    Attributes:
        file: the file, or the name of the live dataset, if it is known.
        element: the number of the element in the dataset, from 0, if it is known.
        offset: the byte in the file (in its decoded stream, where it is compressed), if it is known.
        feature: the name of the feature, if it is one's.
        hints: what would help, a line each.
    """

    def __init__(self, message, *, file=None, element=None, offset=None, feature=None, hints=()):
        super().__init__(message)
        self.file, self.element, self.offset = file, element, offset
        self.feature, self.hints = feature, list(hints)


class DataError(Error):
    """The dataset holds something that is damaged, or is not what it should be."""


class RequestError(Error, ValueError):
    """The request cannot be understood, or does not fit the dataset."""


class ResourcesError(Error):
    """The request is sound, but this machine lacks the disk or the memory."""


class IOFailure(Error):
    """The operating system refused to read or write."""


class OutputError(Error):
    """The output exists, is in use, or is not as it was written."""
