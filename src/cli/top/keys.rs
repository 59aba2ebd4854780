//! What each key does.

use super::panes::Pane;
use super::view::View;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Most characters of a filter.
const MAX_FILTER: usize = 32;

/// What a key asks of the rest of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    Reclaim,
    Pause(bool),
    WriteReport,
}

/// Changes what is shown, and returns what else is to be done.
pub(super) fn press(view: &mut View, key: KeyEvent) -> Action {
    if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Action::Quit;
    }
    view.message = None;
    if view.is_filtering {
        edit_filter(view, key.code);
        return Action::None;
    }
    match key.code {
        KeyCode::Char('q') => return Action::Quit,
        KeyCode::Char('r') => {
            view.message = Some("asking for idle memory ..".to_owned());
            return Action::Reclaim;
        }
        KeyCode::Char('w') => return Action::WriteReport,
        KeyCode::Char('p' | ' ') => {
            view.is_paused = !view.is_paused;
            return Action::Pause(view.is_paused);
        }
        KeyCode::Char('/') => view.is_filtering = true,
        KeyCode::Esc => view.filter.clear(),
        KeyCode::Char('s') => view.sort_by_next(),
        KeyCode::Char('i') => view.is_reversed = !view.is_reversed,
        KeyCode::Down | KeyCode::Char('j') => view.first_row = view.first_row.saturating_add(1),
        KeyCode::Up | KeyCode::Char('k') => view.first_row = view.first_row.saturating_sub(1),
        KeyCode::Tab | KeyCode::Right => view.show(view.pane.after()),
        KeyCode::BackTab | KeyCode::Left => view.show(view.pane.before()),
        KeyCode::Char(digit @ '1'..='6') => view.show(Pane::ALL[digit as usize - '1' as usize]),
        _ => {}
    }
    Action::None
}

fn edit_filter(view: &mut View, code: KeyCode) {
    match code {
        KeyCode::Enter => view.is_filtering = false,
        KeyCode::Esc => {
            view.is_filtering = false;
            view.filter.clear();
        }
        KeyCode::Backspace => {
            view.filter.pop();
        }
        KeyCode::Char(char) if !char.is_control() && view.filter.chars().count() < MAX_FILTER => {
            view.filter.push(char);
        }
        _ => {}
    }
    view.first_row = 0;
}
