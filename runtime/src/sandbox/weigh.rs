//! How much is in this component? One pass over an upload that reads no code, so that what would
//! cost too much to compile is refused in a moment, with what and how many. What these counts let
//! through may still be costly: the child that compiles it has limits of its own.

use wasmparser::{Parser, Payload};

use super::upload::Refusal;
use crate::numbers::{self, Number};

/// The most imports of an app. Source: V6.
pub const MAX_IMPORTS: usize = 64;
/// The most exports of an app. Source: V6.
pub const MAX_EXPORTS: usize = 256;
/// How deep modules and components may stand in each other; tools that compose them come to five.
const MAX_DEPTH: usize = 16;
/// One function's code: the largest of interpreters have a tenth of it.
const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// What is counted over all modules and components, and the most of each: at least three times what a
/// component made from Python or JavaScript has. Source: V5.
struct Counts {
    sections: Count,
    parts: Count,
    types: Count,
    functions: Count,
    locals: Count,
    segments: Count,
    definitions: Count,
}

struct Count {
    what: &'static str,
    most: u64,
    found: u64,
}

impl Count {
    fn of(what: &'static str, most: u64) -> Count {
        Count { what, most, found: 0 }
    }

    fn add(&mut self, more: impl Into<u64>) -> Result<(), Refusal> {
        self.found = self.found.saturating_add(more.into());
        let Count { what, most, found } = *self;
        if found > most { Err(Refusal::TooMany { what, found, most }) } else { Ok(()) }
    }
}

impl Counts {
    fn new() -> Counts {
        Counts {
            sections: Count::of("sections", 50_000),
            parts: Count::of("modules and components", 1_000),
            types: Count::of("types", 50_000),
            functions: Count::of("functions", 100_000),
            locals: Count::of("local variables", 5_000_000),
            segments: Count::of("segments of data and tables", 100_000),
            definitions: Count::of("definitions", 250_000),
        }
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        self.sections.add(1_u64)?;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.parts.add(1_u64),
            Payload::TypeSection(section) => self.types.add(section.count()),
            Payload::CoreTypeSection(section) => self.types.add(section.count()),
            Payload::ComponentTypeSection(section) => self.types.add(section.count()),
            Payload::FunctionSection(section) => self.functions.add(section.count()),
            Payload::CodeSectionEntry(body) => {
                self.sections.found = self.sections.found.saturating_sub(1);
                let bytes = body.as_bytes().len() as u64;
                if bytes > MAX_BODY_BYTES {
                    let what = "bytes in one function";
                    return Err(Refusal::TooMany { what, found: bytes, most: MAX_BODY_BYTES });
                }
                let locals = body.get_locals_reader().map_err(malformed)?;
                for group in locals {
                    let (count, _) = group.map_err(malformed)?;
                    // A group of none costs something too.
                    self.locals.add(count.max(1))?;
                }
                Ok(())
            }
            Payload::DataSection(section) => self.segments.add(section.count()),
            Payload::ElementSection(section) => self.segments.add(section.count()),
            Payload::ImportSection(section) => self.definitions.add(section.count()),
            Payload::ExportSection(section) => self.definitions.add(section.count()),
            Payload::TableSection(section) => self.definitions.add(section.count()),
            Payload::MemorySection(section) => self.definitions.add(section.count()),
            Payload::TagSection(section) => self.definitions.add(section.count()),
            Payload::GlobalSection(section) => self.definitions.add(section.count()),
            Payload::InstanceSection(section) => self.definitions.add(section.count()),
            Payload::ComponentInstanceSection(section) => self.definitions.add(section.count()),
            Payload::ComponentAliasSection(section) => self.definitions.add(section.count()),
            Payload::ComponentCanonicalSection(section) => self.definitions.add(section.count()),
            Payload::ComponentImportSection(section) => self.definitions.add(section.count()),
            Payload::ComponentExportSection(section) => self.definitions.add(section.count()),
            _ => Ok(()),
        }
    }
}

/// What is counted, and how much there may be of each.
pub fn numbers() -> Vec<Number> {
    let Counts { sections, parts, types, functions, locals, segments, definitions } = Counts::new();
    let counts = [sections, parts, types, functions, locals, segments, definitions];
    let mut all: Vec<_> = counts
        .into_iter()
        .map(|Count { what, most, .. }| numbers::fixed("V5", format!("{what} of a component"), numbers::count(most)))
        .collect();
    all.push(numbers::fixed("V5", "modules and components within each other", numbers::count(MAX_DEPTH)));
    all.push(numbers::fixed("V5", "the code of one function", numbers::bytes(MAX_BODY_BYTES)));
    all
}

/// The names of the outermost component's imports and exports, if there is not too much of anything.
pub fn weigh(component: &[u8]) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let (mut imports, mut exports, mut depth) = (vec![], vec![], 0usize);
    let mut counts = Counts::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(malformed)?;
        let outer = depth == 0;
        match &payload {
            Payload::ComponentImportSection(section) if outer => imports.push(section.clone()),
            Payload::ComponentExportSection(section) if outer => exports.push(section.clone()),
            _ => counts.add(&payload)?,
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let what = "modules and components inside each other";
            return Err(Refusal::TooMany { what, found: depth as u64, most: MAX_DEPTH as u64 });
        }
    }
    let import_count = imports.iter().fold(0, |sum, section| section.count() as usize + sum);
    if import_count > MAX_IMPORTS {
        return Err(Refusal::TooManyImports(import_count));
    }
    let export_count = exports.iter().fold(0, |sum, section| section.count() as usize + sum);
    if export_count > MAX_EXPORTS {
        return Err(Refusal::TooManyExports(export_count));
    }
    let mut names = (vec![], vec![]);
    for import in imports.into_iter().flatten() {
        names.0.push(import.map_err(malformed)?.name.name.to_owned());
    }
    for export in exports.into_iter().flatten() {
        names.1.push(export.map_err(malformed)?.name.name.to_owned());
    }
    Ok(names)
}

fn malformed(error: wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Malformed(error.to_string())
}
