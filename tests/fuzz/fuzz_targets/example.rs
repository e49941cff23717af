//! Any bytes as an Example: every list of it is counted and read, and the two agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify::decode::Content;
use lithify::source::{example, wire};
use lithify::value::{Element, Kind, Slots};

fuzz_target!(|bytes: &[u8]| {
    let mut fields = Vec::new();
    if example::parse(bytes, &mut fields).is_err() {
        return;
    }
    let element = Element::new(bytes, &fields, 0);
    let mut slots = Slots::default();
    let _ = slots.find(&element, |name| Ok::<_, ()>(example::bad_name(name).is_none()));
    for at in 0..element.len() {
        let Some(list) = element.list(at) else { continue };
        let Ok(runs) = list.runs().collect::<Result<Vec<_>, _>>() else { continue };
        let mut values = 0;
        for run in runs {
            match list.kind {
                Kind::Bytes => {
                    values += 1;
                    let _ = Content::of(run);
                }
                Kind::Float => values += run.len() as u64 / 4,
                // An integer of more than ten bytes is found only here.
                Kind::Int64 if wire::each_varint(run, |_| true).is_err() => return,
                Kind::Int64 => values += wire::count_varints(run) as u64,
                Kind::Items(_) => unreachable!("an Example has lists"),
            }
        }
        assert_eq!(list.count().ok(), Some(values));
    }
});
