//! A terminal of its own for a command, and what a person sees there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::process::binary;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// A command at a terminal of its own. Killed when dropped.
pub struct Terminal {
    pub child: Child,
    pub keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// A command in `folder`.
    ///
    /// # Panics
    /// When there are no terminals.
    pub fn start(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("it has a size");
        let name = ptsname(&master, Vec::new()).expect("it has a name").into_string().expect("its name is text");
        let slave = || Stdio::from(File::options().read(true).write(true).open(&name).expect("it is there"));

        let mut command = Command::new(binary());
        for variable in ["NO_COLOR", "RELUME_URL", "RELUME_TOKEN", "RELUME_LOG", "DATABASE_URL"] {
            command.env_remove(variable);
        }
        command.args(args).env("TERM", "xterm").envs(env.iter().copied()).current_dir(folder);
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().expect("relume starts");
        // With it, our ends of what the child writes to: the last one to close them is the child.
        drop(command);
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().expect("a descriptor");
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                // No one may be waiting any more.
                let _ = send.send(bytes[..length].to_vec());
            }
        });
        Terminal { child, keyboard, screen, seen: String::new() }
    }

    /// A command that knows the server and its token.
    pub fn at(server: &Server, args: &[&str], env: &[(&str, &str)]) -> Terminal {
        let known = [("RELUME_URL", server.url.as_str()), ("RELUME_TOKEN", server.token.as_str())];
        Terminal::start(server.folder.path(), args, &[&known, env].concat())
    }

    /// Waits until it was seen.
    ///
    /// # Panics
    /// When it never is.
    pub fn wait_for(&mut self, words: &str) {
        while !self.seen.contains(words) {
            let bytes = self.screen.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|e| panic!("{e}: never `{words}`, but: {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the terminal is there");
    }

    /// All that was seen, and the exit code.
    pub fn end(mut self) -> (String, Option<i32>) {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        let code = self.child.wait().expect("our child").code();
        (std::mem::take(&mut self.seen), code)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
