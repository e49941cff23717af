//! The window that text is shown in.

use std::io::IsTerminal;

use lithify::show::USUAL_WINDOW;
use rustix::termios::tcgetwinsize;

/// How many columns what is printed may have.
pub fn window() -> usize {
    let size = tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    size.filter(|columns| *columns > 0).unwrap_or(USUAL_WINDOW)
}

/// What lines begin with that are to be seen, and the colour of that: red, yellow, or cyan.
const MARKS: [(&str, &str); 5] =
    [("error:", "1;31"), ("warning:", "1;33"), ("note:", "1;36"), ("hint:", "1;36"), ("advice:", "1;36")];

/// A text with colours, if it is for a terminal of somebody who has nothing against them. They tell nothing that the words do not.
pub fn painted(text: &str, to: &impl IsTerminal) -> String {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if refused || !to.is_terminal() { text.to_owned() } else { paint(text) }
}

fn paint(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let mark = MARKS.iter().find_map(|(mark, colour)| Some((mark, colour, line.strip_prefix(mark)?)));
        match mark {
            Some((mark, colour, rest)) => format!("\x1b[{colour}m{mark}\x1b[0m{rest}"),
            None => line.to_owned(),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_alone_have_a_colour() {
        assert_eq!(
            paint("error: no\n\nhint: yes\nan error: x"),
            "\x1b[1;31merror:\x1b[0m no\n\n\x1b[1;36mhint:\x1b[0m yes\nan error: x"
        );
    }
}
