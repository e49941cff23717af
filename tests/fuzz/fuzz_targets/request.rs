//! Any text as the notation of a feature: what is understood is written so that it is understood again, as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify::plan::request::{FeatureRequest, Request};

fuzz_target!(|text: &str| {
    if let Ok(request) = text.parse::<FeatureRequest>() {
        let shown = request.to_string();
        match shown.parse::<FeatureRequest>() {
            Ok(back) => assert_eq!(back, request, "{text:?} became {shown:?}"),
            Err(error) => panic!("{text:?} became {shown:?}, which is refused: {error}"),
        }
    }
    let _ = Request::from_recipe(text);
});
