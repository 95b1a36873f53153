//! `ivf info`: describes an index file.

use crate::failure::Failure;
use crate::table::table;
use indicatif::HumanBytes;
use ivf_core::node::DType;
use ivf_core::{Index, KnobValue, Part};
use ivf_io::{Container, SectionInfo};
use serde::{Serialize, Serializer};
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Index file
    file: PathBuf,
    /// Read the whole file and verify its checksums
    #[arg(long)]
    verify: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Description of a file, in the order of the output.
#[derive(Serialize)]
struct Info {
    file: String,
    format: String,
    bytes: u64,
    /// `None` if the index cannot be read because something is damaged.
    index: Option<IndexInfo>,
    sections: Vec<SectionLine>,
    /// `None` without `--verify`.
    whole: Option<bool>,
}

#[derive(Serialize)]
struct IndexInfo {
    factory: String,
    metric: String,
    dim: usize,
    vectors: usize,
    trained: bool,
    /// Size of the whole file in bytes, per vector.
    bytes_per_vector: Option<f64>,
    parts: Vec<PartLine>,
    /// By the names that `set_knobs` takes: `nprobe`, `quantizer/efSearch`.
    #[serde(serialize_with = "as_map")]
    knobs: Vec<(String, KnobValue)>,
    lists: Option<ListsInfo>,
}

#[derive(Serialize)]
struct PartLine {
    /// Empty for the index itself.
    path: String,
    kind: String,
}

impl PartLine {
    fn shown(&self) -> String {
        let Self { path, kind } = self;
        if path.is_empty() { kind.clone() } else { format!("{path}: {kind}") }
    }
}

#[derive(Serialize)]
struct ListsInfo {
    lists: usize,
    empty: usize,
    longest: usize,
    /// Imbalance factor: expected cost of a search relative to lists of equal length, if a list is
    /// probed with a probability proportional to its length. 1 if all lists have the same length.
    imbalance: f64,
    code_bytes: usize,
}

#[derive(Serialize)]
struct SectionLine {
    path: String,
    element: String,
    shape: Vec<u64>,
    offset: u64,
    bytes: u64,
    crc32c: String,
    /// `None` without `--verify`.
    whole: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let container = Container::open(&args.file)?;
    let damaged = args.verify.then(|| container.verify()).transpose()?;
    let index = match ivf_factory::open_container(&container) {
        Ok(index) => Some(index),
        // The list of damaged sections is more informative than the first error.
        Err(_) if damaged.as_ref().is_some_and(|damaged| !damaged.is_empty()) => None,
        Err(error) => return Err(error.into()),
    };
    let (major, minor) = container.version();
    let info = Info {
        file: args.file.display().to_string(),
        format: format!("{major}.{minor}"),
        bytes: container.len(),
        index: index.map(|index| describe(&*index, container.len())).transpose()?,
        sections: lines(container.sections(), damaged.as_deref()),
        whole: damaged.as_ref().map(Vec::is_empty),
    };
    if args.json {
        let json = serde_json::to_string_pretty(&info).expect("names and numbers are JSON");
        writeln!(out, "{json}")?;
    } else {
        print(&info, out)?;
    }
    match damaged {
        Some(damaged) if !damaged.is_empty() => {
            out.flush()?;
            let names: Vec<&str> = damaged.iter().map(|number| info.sections[*number].path.as_str()).collect();
            Err(Failure::Failed(format!("{} is damaged: {}", args.file.display(), names.join(", "))))
        }
        _ => Ok(()),
    }
}

fn describe(index: &dyn Index, bytes: u64) -> Result<IndexInfo, Failure> {
    let parts = index.parts();
    Ok(IndexInfo {
        factory: index.spec(),
        metric: index.metric().to_string(),
        dim: index.dim(),
        vectors: index.len(),
        trained: index.is_trained(),
        bytes_per_vector: (!index.is_empty()).then(|| bytes as f64 / index.len() as f64),
        knobs: parts.iter().flat_map(knob_values).collect(),
        parts: parts.into_iter().map(|Part { path, kind, .. }| PartLine { path, kind }).collect(),
        lists: lists(index).map_err(|error| Failure::failed("cannot read the lists", &error))?,
    })
}

/// Returns the knobs of a part, by their paths.
pub(crate) fn knob_values(part: &Part) -> impl Iterator<Item = (String, KnobValue)> {
    part.knobs.iter().map(|knob| {
        let path = if part.path.is_empty() { knob.name().to_owned() } else { format!("{}/{}", part.path, knob.name()) };
        (path, knob.value.clone())
    })
}

fn as_map<S: Serializer>(knobs: &[(String, KnobValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(knobs.iter().map(|(name, value)| (name, value)))
}

fn lists(index: &dyn Index) -> Result<Option<ListsInfo>, ivf_core::error::StoreError> {
    let Some(lists) = index.find_ivf().and_then(|ivf| ivf.lists()) else { return Ok(None) };
    let lens =
        (0..lists.nlist()).map(|no| lists.list_len(ivf_core::ListNo(no as u32))).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(ListsInfo {
        lists: lens.len(),
        empty: lens.iter().filter(|len| **len == 0).count(),
        longest: lens.iter().copied().max().unwrap_or_default(),
        imbalance: lists.imbalance_factor()?,
        code_bytes: lists.layout().code_size(),
    }))
}

fn lines(sections: Vec<SectionInfo>, damaged: Option<&[usize]>) -> Vec<SectionLine> {
    // Both sequences ascend.
    let whole = |number| damaged.map(|damaged| damaged.binary_search(&number).is_err());
    sections.into_iter().enumerate().map(|(number, section)| line(section, whole(number))).collect()
}

fn line(section: SectionInfo, whole: Option<bool>) -> SectionLine {
    let element = match section.dtype {
        DType::Element(element) => format!("{element:?}"),
        other => format!("{other:?}"),
    };
    SectionLine {
        whole,
        path: section.path,
        element: element.to_lowercase(),
        shape: section.shape,
        offset: section.offset,
        bytes: section.len,
        crc32c: format!("{:08x}", section.checksum),
    }
}

fn print(info: &Info, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(out, "{}: format {}, {} ({} bytes)", info.file, info.format, HumanBytes(info.bytes), info.bytes)?;
    if let Some(index) = &info.index {
        writeln!(out, "index       {}", index.factory)?;
        writeln!(out, "metric      {}", index.metric)?;
        writeln!(out, "vectors     {} x {} dimensions", index.vectors, index.dim)?;
        match index.bytes_per_vector {
            Some(bytes) => writeln!(out, "per vector  {bytes:.1} bytes of the file")?,
            None if !index.trained => writeln!(out, "not trained")?,
            None => {}
        }
        if let Some(lists) = &index.lists {
            let ListsInfo { lists, empty, longest, imbalance, code_bytes } = lists;
            writeln!(
                out,
                "lists       {lists}, {empty} of them empty, the longest has {longest}; imbalance {imbalance:.3}"
            )?;
            writeln!(out, "codes       {code_bytes} bytes")?;
        }
        let parts: Vec<String> = index.parts.iter().map(PartLine::shown).collect();
        writeln!(out, "parts       {}", parts.join(", "))?;
        if !index.knobs.is_empty() {
            let knobs: Vec<String> = index.knobs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            writeln!(out, "knobs       {}", knobs.join(", "))?;
        }
    }
    let mut columns = vec!["<section", "<type", "<shape", "offset", "bytes", "<CRC32C"];
    if info.whole.is_some() {
        columns.push("<state");
    }
    let mut sections = table(&columns);
    for section in &info.sections {
        let shape: Vec<String> = section.shape.iter().map(u64::to_string).collect();
        let mut row = vec![
            section.path.clone(),
            section.element.clone(),
            shape.join(" x "),
            section.offset.to_string(),
            section.bytes.to_string(),
            section.crc32c.clone(),
        ];
        row.extend(section.whole.map(|whole| if whole { "whole" } else { "DAMAGED" }.to_owned()));
        sections.add_row(row);
    }
    writeln!(out, "\n{sections}")?;
    Ok(())
}
