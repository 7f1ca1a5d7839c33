//! Split lines of containers: joined, over every place where reading may begin anew.

use proptest::prelude::*;

use super::*;

const BYTES_MAX: usize = 1 << 20;
const TIME: &str = "2026-11-20T10:10:01.123456789Z";

/// Every line that is given, what is left at the end too.
fn given(text: &[u8]) -> Vec<(u64, u64, String)> {
    let mut lines = LogLines::new(text, 0, BYTES_MAX);
    let mut seen = Vec::new();
    let show = |line: Line<'_>| (line.offset, line.next, String::from_utf8_lossy(line.bytes).into_owned());
    while let Step::Line(line) = lines.step().unwrap() {
        seen.push(show(line));
    }
    while let Some(line) = lines.remainder() {
        seen.push(show(line));
    }
    seen
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let seen: Vec<String> = given(text.as_bytes()).into_iter().map(|(.., text)| text).collect();
    assert_eq!(seen, expected);
}

fn cri(stream: &str, mark: &str, text: &str) -> String {
    format!("{TIME} {stream} {mark} {text}\n")
}

fn docker(stream: &str, text: &str) -> String {
    format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"{TIME}\"}}\n")
}

#[test]
fn parts_of_cri_are_joined_as_one_whole_line() {
    let text =
        [cri("stdout", "P", "{\"a\":"), cri("stdout", "P", "1,"), cri("stdout", "F", "\"b\":2}")].concat();
    check(&text, &[&format!("{TIME} stdout F {{\"a\":1,\"b\":2}}")]);
    assert_eq!(given(text.as_bytes())[0].1, text.len() as u64);
}

#[test]
fn streams_that_lie_between_each_other_are_joined_each_by_itself() {
    let text = [
        cri("stdout", "P", "out 1 "),
        cri("stderr", "F", "err 1"),
        cri("stderr", "P", "err 2 "),
        cri("stdout", "F:tag", "out 1 end"),
        cri("stderr", "F", "err 2 end"),
    ];
    let line = |stream: &str, text: &str| format!("{TIME} {stream} F {text}");
    let expected =
        [line("stderr", "err 1"), line("stdout", "out 1 out 1 end"), line("stderr", "err 2 err 2 end")];
    check(&text.concat(), &expected.each_ref().map(String::as_str));
}

#[test]
fn parts_of_docker_are_joined_with_their_text_still_escaped() {
    let text = [
        docker("stdout", r#"{\"a\":"#),
        docker("stderr", r"x\n"),
        docker("stdout", r#"\"\\n"#),
        docker("stdout", r#"\"}\n"#),
    ];
    let expected = [docker("stderr", r"x\n"), docker("stdout", r#"{\"a\":\"\\n\"}\n"#)];
    check(&text.concat(), &expected.each_ref().map(|line| line.trim_end()));
}

#[test]
fn a_long_text_line_of_docker_is_joined() {
    let (first, second) = ("x".repeat(DOCKER_PART_BYTES), r"y\n");
    let text = [docker("stdout", &first), docker("stdout", second)].concat();
    check(&text, &[docker("stdout", &(first + second)).trim_end()]);
}

#[test]
fn other_lines_pass_as_they_are() {
    let whole = docker("stdout", r#"{\"a\":1}"#);
    let lines = [
        "{\"a\":1}",
        whole.trim_end(),
        "{\"log\":\"shipped without a line break\",\"stream\":\"stdout\",\"kubernetes\":{}}",
        "2026-11-20 10:10:01 P x",
        "2026-11-20T10:10:01Z stdout",
        "2026-11-20T10:10:01Z stdout Px y",
        "203.0.113.7 - - [20/Nov/2026:10:10:01 +0000] \"GET / HTTP/1.1\" 200 1",
        "",
    ];
    check(&lines.map(|line| format!("{line}\n")).concat(), &lines);
}

#[test]
fn parts_without_an_end_are_given_as_they_are_at_the_end() {
    let text = [cri("stdout", "P", "a"), cri("stderr", "P", "b")].concat();
    check(&text, &[&format!("{TIME} stdout F a"), &format!("{TIME} stderr F b")]);
    let alone = docker("stdout", r#"{\"a\":1}"#);
    let text = [docker("stdout", r#"{\"begun\":"#), alone.clone()].concat();
    check(&text, &[docker("stdout", r#"{\"begun\":"#).trim_end(), alone.trim_end()]);
}

#[test]
fn parts_that_do_not_go_on_are_given_as_they_are() {
    let other = cri("stderr", "F", &"e".repeat(100_000));
    let text = [cri("stdout", "P", "a"), other.repeat(12), cri("stdout", "F", "b")].concat();
    let seen = given(text.as_bytes());
    let odd: Vec<&str> =
        seen.iter().map(|(.., text)| text.as_str()).filter(|text| text.contains("stdout")).collect();
    assert_eq!(odd, [format!("{TIME} stdout F a"), format!("{TIME} stdout F b")]);
}

#[test]
fn a_carriage_return_where_a_line_was_split_is_text() {
    let whole = |text: &str| format!("{TIME} stdout F {text}");
    for (parts, expected) in [
        (&["a\r", "b"][..], "a\rb"),
        (&["a\r", "b\r", "c"], "a\rb\rc"),
        (&["\r", "\r", "c"], "\r\rc"),
        (&["a\r\r", "\rb"], "a\r\r\rb"),
        // The program's own line break is `\r\n`, which the runtime keeps the first half of, in whichever part.
        (&["a", "b\r"], "ab"),
        (&["a\r", "b\r"], "a\rb"),
        (&["a", "\r"], "a"),
        (&["a\r", ""], "a"),
        (&["a\r\r", ""], "a\r"),
        (&["a\r"], "a"),
    ] {
        let (last, first) = parts.split_last().unwrap();
        let first: String = first.iter().map(|text| cri("stdout", "P", text)).collect();
        let text = first + &cri("stdout", "F", last);
        let mut lines = LogLines::new(text.as_bytes(), 0, BYTES_MAX);
        let Step::Line(line) = lines.step().unwrap() else { panic!("no line of {parts:?}") };
        let bytes = whole(expected).into_bytes();
        assert_eq!(
            line,
            Line { offset: 0, next: text.len() as u64, bytes: &bytes, cut_from: None },
            "{parts:?}"
        );
    }
}

#[test]
fn a_line_break_of_two_bytes_is_none_of_a_joined_line_of_docker() {
    let text = [docker("stdout", r#"{\"a\":"#), docker("stdout", r"1}\r\n")].concat().replace('\n', "\r\n");
    let mut lines = LogLines::new(text.as_bytes(), 0, BYTES_MAX);
    let Step::Line(line) = lines.step().unwrap() else { panic!("no line") };
    let whole = docker("stdout", r#"{\"a\":1}\r\n"#);
    let expected =
        Line { offset: 0, next: text.len() as u64, bytes: whole.trim_end().as_bytes(), cut_from: None };
    assert_eq!(line, expected);
}

#[test]
fn a_joined_line_is_cut_where_it_is_too_long() {
    let part = cri("stdout", "P", &"x".repeat(16_384));
    let text = [part.repeat(100), cri("stdout", "F", "end"), cri("stdout", "F", "next")].concat();
    let mut lines = LogLines::new(text.as_bytes(), 0, BYTES_MAX);
    let Step::Line(line) = lines.step().unwrap() else { panic!("no line") };
    let whole = (TIME.len() + 10 + 100 * 16_384 + 3) as u64;
    assert_eq!((line.bytes.len(), line.cut_from), (BYTES_MAX, Some(whole)));
    let Step::Line(line) = lines.step().unwrap() else { panic!("no line") };
    assert_eq!((line.bytes.ends_with(b"next"), line.cut_from), (true, None));
}

#[test]
fn a_joined_line_that_is_cut_behind_a_carriage_return_keeps_it() {
    let room = BYTES_MAX - TIME.len() - " stdout F ".len();
    let text =
        [cri("stdout", "P", "a\r"), cri("stdout", "P", &"x".repeat(room - 3)), cri("stdout", "F", "\rb")];
    let text = text.concat();
    let mut lines = LogLines::new(text.as_bytes(), 0, BYTES_MAX);
    let Step::Line(line) = lines.step().unwrap() else { panic!("no line") };
    assert_eq!((line.bytes.len(), line.cut_from), (BYTES_MAX, Some(BYTES_MAX as u64 + 1)));
    assert!(line.bytes.ends_with(b"x\r"));
}

/// A line of a log: any kind, of either stream, that a container's runtime or another program writes.
fn any_line(number: usize, is_docker: bool, (kind, stream, size): (usize, usize, usize)) -> String {
    let text = format!("{number}-{}", ["x", "xx\r", "\r", "xxx\r\r"][size]);
    let stream = ["stdout", "stderr"][stream];
    match (kind, is_docker) {
        (0, _) => format!("a line of no container {text}\n"),
        (1, true) => docker(stream, &format!("{text}\\n")),
        (2, true) => docker(stream, &format!("{{\\\"{text}")),
        (3, true) => docker(stream, &format!("{{{text}}}")),
        (4, true) => docker(stream, &"x".repeat(DOCKER_PART_BYTES)),
        // Short, without a line break: the end of what waits, or a line of its own.
        (_, true) => docker(stream, &text),
        (1 | 2, false) => cri(stream, "F", &text),
        (_, false) => cri(stream, "P", &text),
    }
}

proptest! {
    /// Wherever reading begins anew after a record that was given, it gives the rest of what it would have given.
    #[test]
    fn reading_goes_on_after_any_record(
        is_docker in any::<bool>(),
        lines in prop::collection::vec((0..6_usize, 0..2_usize, 0..4_usize), 1..30),
    ) {
        let text: String =
            lines.iter().enumerate().map(|(number, &line)| any_line(number, is_docker, line)).collect();
        let text = text.as_bytes();
        let whole = given(text);
        for (index, (offset, next, _)) in whole.iter().enumerate() {
            prop_assert!(offset <= next);
            prop_assert!(index == 0 || whole[index - 1].1 <= *offset, "one after the other");
            if *next == text.len() as u64 {
                // What waits at the end is given there in one go.
                break;
            }
            let at = usize::try_from(*next).unwrap();
            let mut lines = LogLines::new(&text[at..], *next, BYTES_MAX);
            lines.recall(|from| Ok(&text[usize::try_from(from).unwrap()..])).unwrap();
            let mut seen = Vec::new();
            while let Step::Line(line) = lines.step().unwrap() {
                seen.push((line.offset, line.next, String::from_utf8_lossy(line.bytes).into_owned()));
            }
            while let Some(line) = lines.remainder() {
                seen.push((line.offset, line.next, String::from_utf8_lossy(line.bytes).into_owned()));
            }
            // One that ends where the one before it ends comes once more, at the same position.
            let rest = if offset == next { index } else { index + 1 };
            prop_assert_eq!(&seen, &whole[rest..]);
        }
    }
}
