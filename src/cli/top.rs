//! The command `mcpool top`: a live view of a running server for people, and one look at it for programs.
//!
//! It reads reports from the admin socket, and nothing else of the server. Invariant: what a server says reaches the
//! terminal only through [`line`](crate::visible::line).

mod draw;
mod feed;
mod keys;
mod panes;
mod rates;
mod screen;
mod view;

use super::admin;
use super::error::CliError;
use super::terminal;
use crate::visible;
use clap::ArgMatches;
use feed::Feed;
use keys::Action;
use panes::Pane;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rates::TopSample;
use screen::{Screen, StopSignals};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;
use view::View;

/// How long a key may wait for its effect, at most.
const TICK: Duration = Duration::from_millis(100);
/// Size of the picture that `--once` prints where stdout is no terminal.
const PICTURE: (u16, u16) = (80, 24);

/// Shows the server until somebody quits, or once.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let source = matches.get_one::<String>("source").cloned();
    let interval = Duration::from_millis(matches.get_one::<u64>("interval").copied().unwrap_or(1_000));
    let is_once = matches.get_flag("once") || matches.get_flag("json") || !io::stdout().is_terminal();
    if !is_once {
        return watch(source, interval, first_pane(matches));
    }
    let before = admin::report(source.as_deref())?;
    sleep(interval);
    let report = admin::report(source.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &TopSample::new(&before, &report))?;
        writeln!(out)?;
    } else {
        let mut view = View::new();
        view.show(first_pane(matches));
        view.take(before);
        view.take(report);
        let width = terminal::width(&io::stdout(), usize::from(PICTURE.0), usize::from(PICTURE.0));
        for line in draw::picture(&view, (width as u16, PICTURE.1))? {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn first_pane(matches: &ArgMatches) -> Pane {
    let name = matches.get_one::<String>("pane");
    Pane::ALL.into_iter().find(|pane| name.is_some_and(|name| name == pane.title())).unwrap_or(Pane::Overview)
}

/// Shows the server until somebody quits or a signal ends the program.
fn watch(source: Option<String>, interval: Duration, pane: Pane) -> Result<ExitCode, CliError> {
    let mut view = View::new();
    view.show(pane);
    // What is wrong with the address is said before the screen is taken.
    view.take(admin::report(source.as_deref())?);
    let signals = StopSignals::register().map_err(CliError::Runtime)?;
    let feed = Feed::start(source, interval)?;
    let mut screen = Screen::open()?;
    let mut is_dirty = true;
    loop {
        if let Some(code) = signals.exit_code() {
            return Ok(ExitCode::from(code));
        }
        while let Some(news) = feed.next() {
            view.take_news(news);
            is_dirty = true;
        }
        if std::mem::take(&mut is_dirty) {
            screen.draw(|frame| draw::draw(frame, &view))?;
        }
        if !event::poll(TICK)? {
            continue;
        }
        is_dirty = true;
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match keys::press(&mut view, key) {
            Action::Quit => return Ok(ExitCode::SUCCESS),
            Action::Reclaim => feed.reclaim(),
            Action::Pause(is_paused) => feed.pause(is_paused),
            Action::WriteReport => view.write_report(),
            Action::None => {}
        }
    }
}
