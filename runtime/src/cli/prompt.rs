//! How is a person asked? On stderr, and only where one is there to answer; a secret is typed unseen.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::stop::Signals;

/// The shell's code for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Whether somebody is there who can answer.
pub fn is_answered() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether the answer to a question is yes; `what` is not done if it cannot be read.
pub async fn confirm(what: &str, question: &str) -> Result<bool, Failure> {
    let question = format!("{question} [y/N] ");
    let answer = asking(what, Signals::new()?, move || ask(&question)).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// What is typed unseen, or piped in, without the newline at its end.
pub async fn secret(what: &str, question: &str) -> Result<String, Failure> {
    let not_text = |e: std::string::FromUtf8Error| Failure::new(what).because(format!("it is not text: {e}")).usage();
    let bytes = if io::stdin().is_terminal() {
        let question = format!("{question}: ");
        let signals = Signals::new()?;
        // Dropped here when Ctrl-C comes, so that the terminal shows again what is typed.
        let _silence = Silence::begin().map_err(|e| Failure::new(what).because(e))?;
        asking(what, signals, move || ask(&question)).await?.into_bytes()
    } else {
        let read = || {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        };
        asking(what, Signals::new()?, read).await?
    };
    let mut text = String::from_utf8(bytes).map_err(not_text)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn ask(question: &str) -> io::Result<String> {
    // Unlocked before the answer is read, so that others can print when Ctrl-C comes instead.
    io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(answer)
}

/// Waits for an answer, or for Ctrl-C. The signals were caught before the terminal was changed.
async fn asking<T: Send + 'static>(
    what: &str,
    mut signals: Signals,
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    tokio::select! {
        read = tokio::task::spawn_blocking(read) => match read {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::new(what).because(format!("stdin cannot be read: {error}"))),
            Err(panic) => Err(Failure::new(what).because(panic)),
        },
        () = signals.next() => {
            eprintln!();
            Err(Failure::new(what).because("it was interrupted").exit_code(INTERRUPTED))
        }
    }
}

/// As long as it is there, the terminal does not show what is typed, but for the newline.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
