//! Where the story is told: plain lines, with a little emphasis where a person watches.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A terminal, a pipe, or nothing.
pub struct Screen {
    out: Box<dyn Write + Send>,
    /// Whether a person watches: emphasis and a progress bar make sense.
    lively: bool,
}

impl Screen {
    /// Standard output. Plain if it is no terminal, or if `NO_COLOR` is set (no-color.org).
    pub fn standard() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { lively: io::stdout().is_terminal() && !no_color, out: Box::new(io::stdout()) }
    }

    /// Plain lines to any writer.
    pub fn plain(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), lively: false }
    }

    /// A line.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The head of a part, with an empty line before it.
    pub(super) fn head(&mut self, number: u8, text: &str) -> io::Result<()> {
        let text = format!("{number}  {text}");
        let text = if self.lively { format!("\x1b[1m{text}\x1b[0m") } else { text };
        self.say(&format!("\n{text}"))
    }

    /// A line that must not be missed.
    pub(super) fn alarm(&mut self, text: &str) -> io::Result<()> {
        if self.lively { self.say(&format!("\x1b[1;31m{text}\x1b[0m")) } else { self.say(text) }
    }

    /// A bar from 0 to 1,000, on standard error; hidden where nobody watches.
    pub(super) fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr());
        if !self.lively {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("   {bar:40} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    }
}
