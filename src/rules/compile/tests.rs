use super::*;

const GOOD: &str = r#"
- id: key-volume-spike
  title: A key is used far more than it ever was
  detector: volume.spike
  with: { scale: 1m, surprise: 8 }
  where: key.plan != "internal"
  severity: high
  respond: throttle
  runbook: docs/runbooks/key-volume-spike.md
  tests:
    - name: a burst throttles once
      log: |
        6d  a 5/min from IE/AS16509
        2m  a 900/min from IE/AS16509
      expect: throttle a within 20s
    - name: twice as much at noon is nothing
      log: |
        6d  a 5/min from IE/AS16509
        10m a 10/min from IE/AS16509
      expect: nothing
"#;

fn compiled(text: &str) -> Result<RuleSet, Problems> {
    RuleSet::compile(&[("r.yaml".to_owned(), text.to_owned())])
}

/// Changes a rule and compares what is then told.
#[track_caller]
fn check_in(rule: &str, changes: &[(&str, &str)], expected: &[&str]) {
    let mut text = rule.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let told = compiled(&text).map_or_else(|problems| problems.to_string(), |_| String::new());
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{changes:?}");
}

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &[&str]) {
    check_in(GOOD, changes, expected);
}

#[test]
fn the_rule_of_the_documentation_compiles() {
    let set = compiled(GOOD).unwrap();
    let rule = set.get("key-volume-spike").unwrap();
    assert_eq!(rule.tests.len(), 2);
    assert_eq!(rule.version.len(), 4);
    assert!(rule.condition.is_some());
}

#[test]
fn unknown_names_are_refused_with_their_place_and_the_known_ones() {
    check(
        &[("  severity:", "  severty:")],
        &[
            "r.yaml:2:3: [0]: \"severity\" is missing",
            "r.yaml:7:3: [0].severty: unknown field; did you mean severity? known: id, title, detector, with, match, over, more_than, share_of, at_least, distinct, where, severity, respond, runbook, tests",
        ],
    );
    check(
        &[("volume.spike", "volume.spik")],
        &[
            "r.yaml:4:13: [0].detector: \"volume.spik\" is not a detector; did you mean volume.spike? known: volume.spike, place.network, place.country, errors.refused, breadth.addresses, breadth.networks, cost.latency, cost.size, records.unreadable, count",
        ],
    );
    check(
        &[("severity: high", "severity: hihg")],
        &[
            "r.yaml:7:13: [0].severity: \"hihg\" is not known; did you mean high? known: info, low, medium, high, critical",
        ],
    );
    check(
        &[("scale: 1m", "scale: 2m")],
        &["r.yaml:5:18: [0].with.scale: \"2m\" is not known; did you mean 1m? known: 1m, 5m, 1h, 24h"],
    );
    check(
        &[("surprise: 8", "surprise: 8, share: 1")],
        &["r.yaml:5:35: [0].with.share: unknown field; known: scale, surprise"],
    );
}

#[test]
fn a_field_that_cannot_be_read_hides_no_other_fault() {
    check(
        &[
            ("id: key-volume-spike", "id: Key_Spike"),
            ("surprise: 8", "surprise: 3"),
            ("severity: high", "severity: hihg"),
            ("respond: throttle", "respond: trottle"),
            ("runbook: docs/runbooks/key-volume-spike.md", "runbook: call bob"),
        ],
        &[
            "r.yaml:2:7: [0].id: \"Key_Spike\" must be 1 to 64 of a-z, 0-9 and single dashes",
            "r.yaml:5:32: [0].with.surprise: 3 must be from 4 to 100",
            "r.yaml:7:13: [0].severity: \"hihg\" is not known; did you mean high? known: info, low, medium, high, critical",
            "r.yaml:8:12: [0].respond: \"trottle\" is not a step; did you mean throttle? known: observe, alert, throttle",
            "r.yaml:9:12: [0].runbook: \"call bob\" must be a path or a URL of a page (*.md, https://…)",
        ],
    );
}

#[test]
fn impossible_values_are_refused_with_their_range() {
    check(&[("surprise: 8", "surprise: 3")], &["r.yaml:5:32: [0].with.surprise: 3 must be from 4 to 100"]);
    check(
        &[("respond: throttle", "respond: revoke")],
        &["r.yaml:8:12: [0].respond: revoke is not possible: rules lead at most to throttle in this version"],
    );
    check(
        &[("respond: throttle", "respond: trottle")],
        &[
            "r.yaml:8:12: [0].respond: \"trottle\" is not a step; did you mean throttle? known: observe, alert, throttle",
        ],
    );
    check(
        &[("id: key-volume-spike", "id: Key_Spike")],
        &["r.yaml:2:7: [0].id: \"Key_Spike\" must be 1 to 64 of a-z, 0-9 and single dashes"],
    );
    check(
        &[("runbook: docs/runbooks/key-volume-spike.md", "runbook: call bob")],
        &["r.yaml:9:12: [0].runbook: \"call bob\" must be a path or a URL of a page (*.md, https://…)"],
    );
}

#[test]
fn a_number_that_its_type_cannot_hold_is_told_the_range_of_its_field() {
    check(
        &[("volume.spike", "breadth.networks"), ("scale: 1m, surprise: 8", "surprise: 8, at_least: -5")],
        &["r.yaml:5:34: [0].with.at_least: -5 must be from 2 to 1000000"],
    );
}

#[test]
fn a_condition_is_refused_where_it_is_wrong() {
    check(
        &[("key.plan != ", "key.plam != ")],
        &[
            "r.yaml:6:13: [0].where: no field plam; did you mean plan? known: id, tenant, name, owner, plan, class, protected",
        ],
    );
}

#[test]
fn a_test_is_refused_where_it_is_wrong() {
    check(
        &[("2m  a 900/min", "2m  a 900/mni")],
        &[
            "r.yaml:14:15: [0].tests[0].log: \"900/mni\" is not a rate; write a whole number from 1 to 1000000 and /s, /min, /h or /d",
        ],
    );
    check(
        &[("throttle a within 20s", "throttle b within 20s")],
        &["r.yaml:15:15: [0].tests[0].expect: expects something of key b, which has no traffic"],
    );
    check(
        &[("throttle a within 20s", "nothing")],
        &[
            "r.yaml:11:5: [0].tests: no test expects a step; a rule needs one that expects a step and one that expects nothing",
        ],
    );
    check(
        &[("expect: nothing", "expect: alert a within 2m")],
        &[
            "r.yaml:11:5: [0].tests: no test expects nothing; a rule needs one that expects a step and one that expects nothing",
        ],
    );
    check(
        &[("respond: throttle", "respond: alert")],
        &["r.yaml:15:15: [0].tests[0].expect: expects throttle, but the rule leads at most to alert"],
    );
}

#[test]
fn everything_wrong_in_all_files_is_told_at_once() {
    let broken = GOOD.replace("surprise: 8", "surprise: 800").replace("key.plan", "key.plam");
    let files =
        [("a.yaml", broken.as_str()), ("b.yaml", "- id: 7\n"), ("c.yaml", "rules: []"), ("d.yaml", GOOD)];
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let told = RuleSet::compile(&files).unwrap_err().to_string();
    let starts = [
        "a.yaml:5:32",
        "a.yaml:6:13",
        "b.yaml:1:3",
        "b.yaml:1:7",
        "c.yaml:1:1: a mapping must be",
        "d.yaml:2:7",
    ];
    assert_eq!(told.lines().count(), starts.len(), "{told}");
    for (line, start) in told.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(told.ends_with("\"key-volume-spike\" is the id of another rule, at a.yaml:2"), "{told}");
}

#[test]
fn the_version_follows_the_meaning_only() {
    let version = |text: &str| compiled(text).unwrap().version;
    let same = ["title: A key", "name: a burst", "  respond"];
    let with = ["title: The key", "name: b burst", "  # a comment\n  respond"];
    for (from, to) in same.iter().zip(with) {
        assert_eq!(version(GOOD), version(&GOOD.replacen(from, to, 1)), "{to}");
    }
    for (from, to) in
        [("surprise: 8", "surprise: 9"), ("internal", "free"), ("severity: high", "severity: low")]
    {
        assert_ne!(version(GOOD), version(&GOOD.replacen(from, to, 1)), "{to}");
    }
}

#[test]
fn the_shipped_rules_compile_and_their_runbooks_exist() {
    let set = RuleSet::compile(&RuleSet::shipped_files()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(set.rules.len() >= 11);
    for rule in &set.rules {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&rule.runbook);
        assert!(page.is_file(), "{}: {}", rule.id, rule.runbook);
    }
}

const COUNTS: &str = r"
- id: key-denied
  title: A key is refused too often
  detector: count
  match: { status: [401, 403] }
  over: 1m
  more_than: 20
  share_of: all
  distinct: route
  severity: medium
  respond: alert
  runbook: docs/runbooks/key-denied-routes.md
  tests:
    - name: doors
      log: |
        6d  a 5/min
        2m  a 60/min status 403 routes 40
      expect: alert a within 1m
    - name: no doors
      log: 6d a 5/min
      expect: nothing
";

#[track_caller]
fn check_count(changes: &[(&str, &str)], expected: &[&str]) {
    check_in(COUNTS, changes, expected);
}

#[test]
fn a_counting_rule_compiles_in_each_of_its_forms() {
    check_count(&[], &[]);
    check_count(&[("  share_of: all\n", ""), ("  distinct: route\n", "")], &[]);
    check_count(&[("  distinct: route\n", "  at_least: 50\n")], &[]);
    let all = "{ status: [401, 5xx], method: [POST, OTHER], route: [/v1/admin*], country: [IE, de], \
               network: [AS14061], network_type: [hosting, tor], agent: [\"curl/*\"] }";
    check_count(&[("{ status: [401, 403] }", all)], &[]);
}

#[test]
fn a_counting_rule_is_refused_where_it_is_wrong() {
    check_count(
        &[("[401, 403]", "[401, 600, 6xx]")],
        &[
            "r.yaml:5:26: [0].match.status[1]: 600 must be a status from 100 to 599, or a class from 1xx to 5xx",
            "r.yaml:5:31: [0].match.status[2]: \"6xx\" must be a status from 100 to 599, or a class from 1xx to 5xx",
        ],
    );
    check_count(
        &[("[401, 403]", "[]")],
        &["r.yaml:5:20: [0].match.status: a list of 0 must have 1 to 64 entries"],
    );
    check_count(
        &[("{ status: [401, 403] }", "{}")],
        &[
            "r.yaml:5:10: [0].match: names nothing; say at least one of status, method, route, country, network, network_type, agent",
        ],
    );
    check_count(
        &[("status: [401, 403]", "method: [get], network: [16509], route: [\"/*/x\"], stat: 1")],
        &[
            "r.yaml:5:21: [0].match.method[0]: \"get\" must be GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS or OTHER",
            "r.yaml:5:37: [0].match.network[0]: 16509 must be a text: write it in quotes",
            "r.yaml:5:53: [0].match.route[0]: \"/*/x\" must be 1 to 256 bytes, with a * at the end at most",
            "r.yaml:5:62: [0].match.stat: unknown field; known: status, method, route, country, network, network_type, agent",
        ],
    );
    check_count(
        &[("more_than: 20", "more_than: 100")],
        &["r.yaml:7:14: [0].more_than: 100 must be from 1 to 99 percent"],
    );
    check_count(
        &[("more_than: 20", "more_than: 201"), ("  share_of: all\n", "")],
        &["r.yaml:7:14: [0].more_than: 201 must be from 1 to 200 different values"],
    );
    check_count(
        &[("more_than: 20", "more_than: -5"), ("  share_of: all\n", ""), ("  distinct: route\n", "")],
        &["r.yaml:7:14: [0].more_than: -5 must be from 0 to 1000000 requests"],
    );
    check_count(
        &[("  share_of: all\n", "  share_of: all\n  at_least: 5000000000\n")],
        &["r.yaml:9:13: [0].at_least: 5000000000 must be from 1 to 200"],
    );
    check_count(
        &[("more_than: 20", "more_than: few")],
        &["r.yaml:7:14: [0].more_than: \"few\" must be a whole number"],
    );
    check_count(
        &[("  share_of: all\n", "  at_least: 5\n")],
        &["r.yaml:8:13: [0].at_least: goes with share_of only; a count has its limit in more_than"],
    );
}

#[test]
fn a_counting_rule_has_what_it_needs_and_nothing_of_the_others() {
    check_count(
        &[("  over: 1m\n", ""), ("  more_than: 20\n", "")],
        &["r.yaml:2:3: [0]: \"more_than\" is missing", "r.yaml:2:3: [0]: \"over\" is missing"],
    );
    check_count(&[("more_than: 20", "more_than:")], &["r.yaml:7:12: [0]: \"more_than\" is missing"]);
    check_count(&[("{ status: [401, 403] }", "")], &["r.yaml:5:8: [0]: \"match\" is missing"]);
    check_count(
        &[("  over: 1m\n", "  over: 2m\n  with: { surprise: 3 }\n")],
        &["r.yaml:6:9: [0].over: \"2m\" is not known; did you mean 1m? known: 1m, 5m, 1h, 24h"],
    );
    check_count(
        &[("  over: 1m\n", "  over: 1m\n  with: { surprise: 3 }\n")],
        &[
            "r.yaml:7:9: [0].with: is for other detectors; count has match, over, more_than, share_of, at_least, distinct",
        ],
    );
    check(
        &[("severity: high", "distinct: route\n  severity: high")],
        &["r.yaml:7:13: [0].distinct: is for the detector count"],
    );
    check(&[("  with: { scale: 1m, surprise: 8 }\n", "")], &["r.yaml:2:3: [0]: \"with\" is missing"]);
}

#[test]
fn there_is_a_bit_for_so_many_counting_rules() {
    let rules: String =
        (0..65).map(|n| COUNTS.replace("key-denied\n", &format!("key-denied-{n}\n"))).collect();
    let told = compiled(&rules).unwrap_err().to_string();
    assert_eq!(told, "r.yaml:1348:13: [64].detector: more than 64 rules with detector count");
}
