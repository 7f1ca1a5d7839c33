//! The picture of docs/calibration.md: a panel for each kind, a line for each scale.
//!
//! The colours follow what the reader's display prefers, light or dark.

use std::fmt::Write as _;

use keyhound::detect::Scale;

use crate::{
    report::Row,
    surprises::{STEPS_PER_UNIT, Shares},
};

const COLUMNS: usize = 3;
/// Of a panel's axes, and of a panel with its title and the numbers of the axes.
const SIDE: (f64, f64) = (230.0, 190.0);
const PANEL: (f64, f64) = (306.0, 252.0);
/// Where the first panel's axes begin.
const FIRST: (f64, f64) = (58.0, 92.0);
/// The surprises that the axes show; below the least, surprises are cut to 0.
const LEAST: f64 = 0.5;
const MOST: f64 = 7.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 13px } .small { font-size: 10px }
.ground { fill: #ffffff } .grid { stroke: #d8dee4; stroke-width: 1 } .ideal { stroke: #59636e; stroke-dasharray: 4 3 }
.band { fill: #8c959f; fill-opacity: 0.18 } .line { fill: none; stroke-width: 2; stroke-linejoin: round }
.s0 { stroke: #0969da } .s1 { stroke: #bc4c00 } .s2 { stroke: #1a7f37 } .s3 { stroke: #8250df }
.s1 { stroke-dasharray: 7 2 } .s2 { stroke-dasharray: 2 2 } .s3 { stroke-dasharray: 9 3 2 3 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ground { fill: #0d1117 } .grid { stroke: #30363d }
.ideal { stroke: #9198a1 } .s0 { stroke: #4493f8 } .s1 { stroke: #f0883e } .s2 { stroke: #3fb950 } .s3 { stroke: #ab7df8 } }
";

/// The whole picture. A kind of which there is nothing has no panel.
pub fn plot(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.played.shares[0].windows > 0).collect();
    let width = PANEL.0 * COLUMNS as f64 + 20.0;
    let height = FIRST.1 + PANEL.1 * rows.len().div_ceil(COLUMNS) as f64 - 20.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>How often a surprise \
         comes</title>\n<style>\n{STYLE}</style>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    text(
        &mut out,
        (FIRST.0, 24.0),
        "title",
        "start",
        "Share of windows with a surprise of s or more, against 10<tspan dy=\"-5\" class=\"small\">−s</tspan>",
    );
    legend(&mut out);
    for (i, row) in rows.iter().enumerate() {
        let (column, line) = (i % COLUMNS, i / COLUMNS);
        panel(&mut out, (FIRST.0 + PANEL.0 * column as f64, FIRST.1 + PANEL.1 * line as f64), row);
    }
    out + "</svg>\n"
}

fn legend(out: &mut String) {
    let mut x = FIRST.0;
    for (i, scale) in Scale::ALL.into_iter().enumerate() {
        let _ = writeln!(out, "<path class=\"line s{i}\" d=\"M{x} 46h34\"/>");
        text(out, (x + 40.0, 50.0), "", "start", scale.as_str());
        x += 90.0;
    }
    let _ = writeln!(out, "<path class=\"ideal\" d=\"M{x} 46h34\"/>");
    text(out, (x + 40.0, 50.0), "", "start", "ideal");
    let _ = writeln!(out, "<rect class=\"band\" x=\"{}\" y=\"38\" width=\"34\" height=\"16\"/>", x + 90.0);
    text(
        out,
        (x + 130.0, 50.0),
        "",
        "start",
        "within a factor of 3; above it: too often, below: too careful",
    );
}

fn panel(out: &mut String, (left, top): (f64, f64), row: &Row) {
    let x = |s: f64| left + s / MOST * SIDE.0;
    let y = |share: f64| top + (-share.log10()).clamp(0.0, MOST) / MOST * SIDE.1;
    text(out, (left, top - 10.0), "title", "start", &row.name);
    for s in 0..=7 {
        let (s, share) = (f64::from(s), 10f64.powi(-s));
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{:.1} {top}v{}M{left} {:.1}h{}\"/>",
            x(s),
            SIDE.1,
            y(share),
            SIDE.0
        );
        let label =
            if s == 0.0 { "1".into() } else { format!("10<tspan dy=\"-4\" class=\"small\">−{s}</tspan>") };
        text(out, (x(s), top + SIDE.1 + 16.0), "small", "middle", &label);
        text(out, (left - 6.0, y(share) + 4.0), "small", "end", &label);
    }
    let corners = [(0.0, 1.0), (0.477, 1.0), (7.0, 3e-7), (7.0, 1e-7), (6.523, 1e-7), (0.0, 1.0 / 3.0)];
    let corners = corners.map(|(s, share)| format!("{:.1},{:.1}", x(s), y(share))).join(" ");
    let _ = writeln!(out, "<polygon class=\"band\" points=\"{corners}\"/>");
    let _ = writeln!(out, "<path class=\"ideal\" d=\"M{left} {top}L{:.1} {:.1}\"/>", x(7.0), y(1e-7));
    for (i, shares) in row.played.shares.iter().enumerate() {
        let points: Vec<String> =
            points(shares).map(|(s, share)| format!("{:.1} {:.1}", x(s), y(share))).collect();
        if !points.is_empty() {
            let _ = writeln!(out, "<path class=\"line s{i}\" d=\"M{}\"/>", points.join("L"));
        }
    }
}

/// Surprises and the shares of windows that had so much or more, as far as any had.
fn points(shares: &Shares) -> impl Iterator<Item = (f64, f64)> {
    let steps = (LEAST * STEPS_PER_UNIT as f64) as usize..=MOST as usize * STEPS_PER_UNIT;
    steps
        .map(|step| (step as f64 / STEPS_PER_UNIT as f64, shares.at_least(step)))
        .take_while(|(_, windows)| *windows > 0)
        .map(|(s, windows)| (s, windows as f64 / shares.windows as f64))
}

fn text(out: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, what: &str) {
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>"
    );
}
