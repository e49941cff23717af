//! What a request leaves to the dataset, said.

use super::fit::Fit;
use super::request::{DTypeRequest, FeatureRequest, FitRequest, Request};
use super::{Plan, advice, named};
use crate::decode::Decode;
use crate::error::Result;
use crate::scan::profile::Profile;
use crate::value::Kind;

/// Chooses the buckets that the request leaves to the plan. Gives the request with them, if there were any: the dataset
/// must then be scanned again, to count them.
///
/// # Errors
/// The feature is not there.
pub fn settle_buckets(profile: &Profile, request: &Request) -> Result<Option<Request>> {
    let is_open = |feature: &FeatureRequest| matches!(feature.fit, Some(FitRequest::AutoBucket(_)));
    if !request.features.iter().any(is_open) {
        return Ok(None);
    }
    let wanted = request.all_of(&profile.names());
    let mut settled = Request { features: wanted.into_iter().map(|wanted| wanted.request).collect() };
    for wanted in &mut settled.features {
        if let Some(FitRequest::AutoBucket(count)) = wanted.fit {
            let feature = named(profile, wanted)?;
            let sizes = feature.shapes().map_or(&feature.lengths, |shapes| &shapes.values);
            wanted.fit = Some(FitRequest::Bucket(advice::buckets(sizes, count)));
        }
    }
    Ok(Some(settled))
}

/// The request by which any part of the dataset becomes arrays of the shapes and dtypes that a plan has for all of it.
#[must_use]
pub fn settled(plan: &Plan) -> Request {
    let of = |name: &String| FeatureRequest {
        name: name.clone(),
        ..plan.request.wanted(name).cloned().unwrap_or_default()
    };
    let mut request =
        Request { features: plan.features.iter().map(|feature| of(&feature.feature)).collect() };
    for (wanted, planned) in request.features.iter_mut().zip(&plan.features) {
        let resized = matches!(wanted.fit, Some(FitRequest::Resize(_)));
        match &planned.fit {
            _ if resized => {}
            Fit::Pad { shape, .. } => {
                wanted.fit = Some(FitRequest::Pad(shape.iter().map(|size| Some(*size)).collect()));
            }
            Fit::Bucket { caps, .. } => wanted.fit = Some(FitRequest::Bucket(caps.clone())),
            Fit::Ragged { .. } | Fit::RaggedBytes { .. } => wanted.fit = Some(FitRequest::Ragged),
            Fit::Exact { .. } | Fit::Resize { .. } => {}
        }
        wanted.present |= planned.present;
        // What is named would be decoded, where it is known to be images.
        if planned.kind == Kind::Bytes && planned.view.decode.is_none() {
            wanted.view.decode = Some(Decode::None);
        }
        if wanted.dtype == Some(DTypeRequest::WidestBytes) {
            wanted.dtype = Some(DTypeRequest::Exactly(planned.dtype));
        }
    }
    request
}
