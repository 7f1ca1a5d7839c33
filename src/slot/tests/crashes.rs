//! A crash at any call leaves no trace.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// Two inputs, out of order and late, with rejections, for a second or two of the virtual clock.
fn long_tape() -> Tape {
    let mut text = String::new();
    for batch in 0..24u64 {
        for n in 0..4 {
            let key = ["a", "b", "c"][usize::try_from((batch + n) % 3).unwrap()];
            // Input 1 lags behind, so that what it brings after being idle is late.
            writeln!(text, "0 {} {key}\n1 {} {key}", batch * 7 + n, batch * 5).unwrap();
        }
        if batch % 5 == 0 {
            text.push_str("1 broken\n");
        }
        text.push_str(if batch % 3 == 0 { "--- 1\n" } else { "---\n" });
    }
    tape(2, &text)
}

#[test]
fn a_crash_at_any_call_leaves_no_trace() {
    let tape = long_tape();
    let (undisturbed, calls) = run(&tape, &[]);
    assert!(undisturbed.outputs.len() > 50 && calls > 100, "{calls} calls");
    for at_call in 1..=calls {
        for after in [false, true] {
            let (left, _) = run(&tape, &[Crash { at_call, after }]);
            assert_eq!(left, undisturbed, "crash at call {at_call}, after: {after}");
        }
    }
}

#[test]
fn what_cannot_be_read_again_is_in_a_checkpoint() {
    let tape = Tape { once: true, ..long_tape() };
    let (undisturbed, calls) = run(&tape, &[]);
    for at_call in (1..=calls).step_by(7) {
        let (left, _) = run(&tape, &[Crash { at_call, after: true }]);
        assert_eq!(left, undisturbed, "crash at call {at_call}");
    }
}

prop_compose! {
    /// Up to three inputs, their records in random batches.
    fn any_tape()(
        batches in prop::collection::vec(
            (prop::collection::vec((0..3u32, 0..60u64, 0..4u8, prop::bool::weighted(0.1)), 0..12),
             prop::collection::vec(0..3u32, 0..2), 1..400u64),
            1..30),
        again_max in 0..6u64,
    ) -> Tape {
        let mut text = String::new();
        for (at, (records, idle, _)) in (0u64..).zip(&batches) {
            for (input, jitter, key, broken) in records {
                if *broken {
                    writeln!(text, "{input} broken").unwrap();
                } else {
                    writeln!(text, "{input} {} k{key}", at * 20 + jitter).unwrap();
                }
            }
            let idle: Vec<String> = idle.iter().map(ToString::to_string).collect();
            writeln!(text, "--- {}", idle.join(" ")).unwrap();
        }
        let mut tape = Tape { again_max, ..tape(3, &text) };
        for (scripted, (_, _, after_ms)) in tape.batches.iter_mut().zip(batches) {
            scripted.after_ms = after_ms;
        }
        tape
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, however often it crashes, and in whatever parts it is read again.
    #[test]
    fn any_schedule_with_any_crashes_ends_as_one_without(
        tape in any_tape(),
        crashes in prop::collection::vec((1..80u64, any::<bool>()), 1..12),
    ) {
        let crashes: Vec<Crash> =
            crashes.into_iter().map(|(at_call, after)| Crash { at_call, after }).collect();
        let (undisturbed, _) = run(&tape, &[]);
        let (left, _) = run(&tape, &crashes);
        prop_assert_eq!(left, undisturbed);
    }
}
