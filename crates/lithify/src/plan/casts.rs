//! Which dtypes may become which.

use super::request::FeatureRequest;
use crate::error::{Error, Result};
use crate::value::DType;

/// Refuses to make complex numbers of others, or others of them.
pub(super) fn check(from: Option<DType>, to: DType, request: &FeatureRequest) -> Result<()> {
    match from {
        Some(from) if from != to && (from.is_complex() || to.is_complex()) => {
            Err(Error::request(format!("{from} cannot become {to}"))
                .hint("complex numbers keep their dtype")
                .words("-dtype"))
        }
        None if request.saturate => {
            let message = "`saturate` is for numbers, and these are byte strings";
            Err(Error::request(message).words("-saturate"))
        }
        _ => Ok(()),
    }
}

/// Refuses to resize samples into a dtype that does not hold them: what is resized is rounded and clipped, and so would be
/// samples that nobody has touched.
pub(super) fn check_resized(from: Option<DType>, to: DType, request: &FeatureRequest) -> Result<()> {
    let narrow = match from {
        Some(DType::Uint8) => to == DType::Int8,
        Some(DType::Uint16) => matches!(to, DType::Int8 | DType::Uint8 | DType::Int16),
        _ => false,
    };
    match from {
        Some(from) if narrow && !request.saturate => Err(Error::request(format!(
            "{to} does not hold all samples of {from}"
        ))
        .hint("use a larger `dtype`, bring them into its range with `scale`, or clip them with `saturate`")
        .words("saturate")),
        _ => Ok(()),
    }
}
