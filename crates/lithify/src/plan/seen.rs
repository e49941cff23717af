//! A feature as it is seen: what pass 1 found, by the view that the request means.

use super::fit::show_shape;
use super::request::{FeatureRequest, FitRequest};
use crate::decode::View;
use crate::error::{Change, Error, Result};
use crate::scan::profile::{FeatureProfile, Profile, Shapes, Sizes, Witness};
use crate::value::{DType, Kind};

/// On what terms features are planned.
pub(super) struct Terms {
    /// They were asked for by name.
    pub chosen: bool,
    /// Only one array may come of it.
    pub single: bool,
    /// Elements that do not fit are left out.
    pub skip: bool,
}

impl Terms {
    /// Whether byte strings that are images become pixels, whatever their sizes are.
    fn decodes_images(&self) -> bool {
        self.chosen || self.single
    }
}

/// A feature as its view shows it.
pub(super) struct Seen<'a> {
    pub view: View,
    /// `None` for byte strings.
    pub dtype: Option<DType>,
    pub smallest: Vec<u64>,
    pub largest: Vec<u64>,
    /// Two elements whose shapes differ, if there are any.
    pub differ: Option<(String, Witness, String, Witness)>,
    pub values: &'a Sizes,
    pub strings: &'a Sizes,
    /// Whether a string ends in NUL, which fixed-width items do not keep.
    pub ends_in_nul: bool,
    /// Whether one value is no axis of its own.
    pub scalar: bool,
    /// Whether the axes after the first are the same in all elements, and no part of an image's size.
    pub even: bool,
}

/// Sees a feature as a request wants it.
pub(super) fn see<'a>(
    profile: &Profile,
    feature: &'a FeatureProfile,
    request: &FeatureRequest,
    kind: Kind,
    terms: &Terms,
) -> Result<Seen<'a>> {
    let mut view = request.with_depth(feature.view(&request.view));
    let images = feature.shapes().is_some_and(|shapes| shapes.images.is_some());
    let sounds = feature.shapes().is_some_and(|shapes| shapes.sounds.is_some());
    // A list of byte strings may be empty.
    let empty = feature.lengths.smallest.filter(|least| least.0 == 0 && kind == Kind::Bytes);
    let one_size = matches!(&feature.seen_as[..], [only] if only.differs.is_none() && empty.is_none());
    let keeps_images = !terms.decodes_images() && images && !one_size && request.view.decode.is_none();
    if (images || sounds) && request.takes_bytes() || keeps_images {
        // Encoded, images are small and lose nothing; one array can be made of them only where they are of one size.
        view.decode = None;
    }
    let skip = terms.skip;
    if let Some(shapes) = feature.shapes_by(&view) {
        if let Some(other) = feature.seen_as.iter().find(|other| *other != shapes) {
            let show = |shapes: &Shapes| {
                let dtype = shapes.dtype.map_or("string".into(), |dtype| dtype.to_string());
                format!("{dtype} {}", show_shape(&shapes.first.0))
            };
            // Tensors that only look alike stay the bytes they are, unless they are asked for.
            let as_numbers = matches!(
                request.fit,
                Some(FitRequest::Pad(_) | FitRequest::Bucket(_) | FitRequest::Resize(_))
            );
            if request.view == View::default() && !as_numbers && !images {
                view.decode = None;
            } else if !skip {
                let (what, one, words, hint) = if images && other.images.is_some() {
                    let hint = "convert them with `channels=3` or `channels=1`";
                    ("the image", "number of channels", "channels=3", hint)
                } else {
                    let hint = "keep the bytes with `decode=none`";
                    ("it", "dtype and one number of axes", "decode=none", hint)
                };
                let (here, there, element) = (show(other), show(shapes), shapes.first.1.element);
                let message = format!(
                    "{what} is {here} here, but {there} in element {element}: one array needs one {one}"
                );
                return Err(at(profile, other.first.1, Error::input(message))
                    .hint(hint)
                    .instead(Change::View(words)));
            }
        }
        if let Some(shapes) = feature.shapes_by(&view) {
            let first = || (show_shape(&shapes.first.0), shapes.first.1);
            let other = shapes.differs.as_ref().map(|(shape, witness)| (show_shape(shape), *witness));
            let mut smallest = shapes.smallest.clone();
            let nothing = match smallest.first_mut() {
                Some(least) => empty.map(|(_, witness)| {
                    *least = 0;
                    ("no values".to_owned(), witness)
                }),
                None => None,
            };
            let image = shapes.images.is_some() && smallest.len() < 4;
            return Ok(Seen {
                view,
                dtype: shapes.dtype,
                differ: other.or(nothing).map(|other| (first().0, first().1, other.0, other.1)),
                even: !image
                    && smallest.iter().zip(&shapes.largest).skip(1).all(|(small, large)| small == large),
                smallest,
                largest: shapes.largest.clone(),
                values: if empty.is_some() { &feature.lengths } else { &shapes.values },
                strings: &shapes.strings,
                ends_in_nul: shapes.ends_in_nul,
                scalar: false,
            });
        }
    }
    let lengths = &feature.lengths;
    let differ = match (lengths.smallest, lengths.largest) {
        (Some(small), Some(large)) if small.0 != large.0 => {
            Some((format!("{} values", small.0), small.1, format!("{} values", large.0), large.1))
        }
        _ => None,
    };
    Ok(Seen {
        view,
        dtype: kind.dtype(),
        smallest: vec![lengths.min()],
        largest: vec![lengths.max()],
        differ,
        values: lengths,
        strings: &feature.strings,
        ends_in_nul: feature.ends_in_nul,
        scalar: lengths.max() == 1 && lengths.min() == 1,
        even: true,
    })
}

/// An error at an element.
pub(super) fn at(profile: &Profile, witness: Witness, error: Error) -> Error {
    error.at_place(&profile.place(witness))
}
