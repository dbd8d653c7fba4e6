//! What does a person see? The files of the dashboard, in `ui/`: a page that asks the API which everybody has. In debug
//! builds they are read from there each time, so that a change needs no build.

use std::borrow::Cow;

use rust_embed::RustEmbed;

use crate::sandbox::hex;

#[derive(RustEmbed)]
#[folder = "ui/"]
struct Files;

/// A file as a browser gets it.
pub struct File {
    pub bytes: Cow<'static, [u8]>,
    pub content_type: &'static str,
    /// Changes with what is in it: an `ETag`, with its quotes.
    pub tag: String,
}

/// The file at `path`, as in `app.css`. What is no file is a place within the page, which is what it gets.
pub fn file(path: &str) -> Option<File> {
    let (file, ending) = match (Files::get(path), path.rsplit_once('.')) {
        (Some(file), Some((_, ending))) => (file, ending),
        _ => (Files::get("index.html")?, "html"),
    };
    let content_type = match ending {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let tag = hex(&file.metadata.sha256_hash()[..16]);
    Some(File { bytes: file.data, content_type, tag: format!("\"{tag}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most that a browser fetches before it shows something, compressed a third of it.
    const MAX_BYTES: usize = 300 << 10;

    #[test]
    fn the_page_is_small_and_whole() {
        let all: Vec<_> = Files::iter().collect();
        let bytes: usize = all.iter().filter_map(|path| Files::get(path)).map(|file| file.data.len()).sum();
        assert!(bytes < MAX_BYTES, "{bytes} bytes");
        for path in ["index.html", "main.js", "app.css", "icon.svg"] {
            assert!(all.iter().any(|name| name == path), "{path}");
        }
    }

    #[test]
    fn the_page_names_all_modules_so_that_none_waits_for_another() {
        let page = Files::get("index.html").expect("it is there");
        let page = String::from_utf8_lossy(&page.data);
        for path in Files::iter().filter(|path| path.ends_with(".js")) {
            assert!(page.contains(&format!("=\"/ui/{path}\"")), "{path}");
        }
    }

    #[test]
    fn what_is_no_file_is_a_place_in_the_page() {
        for path in ["", "runs", "apps/a.b", "../Cargo.toml", "/etc/passwd", "vendor/../../Cargo.toml", "vendor"] {
            assert_eq!(file(path).map(|file| file.content_type), Some("text/html; charset=utf-8"), "{path}");
        }
        assert_eq!(file("vendor/htm.js").map(|file| file.content_type), Some("text/javascript; charset=utf-8"));
    }
}
