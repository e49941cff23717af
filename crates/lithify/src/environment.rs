//! The variables that whoever started this process has set, as a function: what is derived from them can then be tried
//! without setting variables, which a process of several threads must not do.

/// Gives the value of a variable, or `None` where it is not set.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The [`Environment`] of this process.
#[must_use]
pub fn here(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a variable says. One that is set to nothing says nothing.
pub(crate) fn value(environment: &Environment<'_>, name: &str) -> Option<String> {
    environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The environment that lines such as `A=1` describe, separated by spaces.
#[cfg(test)]
pub(crate) fn of(text: &str) -> impl Fn(&str) -> Option<String> + '_ {
    move |name| text.split(' ').find_map(|one| one.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}
