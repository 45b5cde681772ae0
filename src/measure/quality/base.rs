//! A base: all the logits of a passage, in a file.
//!
//! The file begins with a line that names its form, then a line of JSON that says what it is of ([`About`]), and then holds a row of
//! little-endian f32 logits for each token that was told, in the order of the passage.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::measure::MeasureError;
use crate::score::{Score, Windows, surprise};

const FORM: &str = "inglenook base logits 1\n";
/// The line of JSON holds the passage's tokens; a longer one is none of ours.
const LONGEST_LINE: u64 = 1 << 28;

/// A text in tokens, and how it is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    pub tokens: Vec<u32>,
    pub windows: Windows,
}

impl Passage {
    /// Tokens that can be told: all, but for the first of each window where the model has no beginning token.
    pub fn scored(&self) -> usize {
        let untold = usize::from(self.windows.begin.is_none());
        self.windows.of(&self.tokens).map(|window| window.len().saturating_sub(untold)).sum()
    }

    pub(crate) fn check(&self) -> Result<(), MeasureError> {
        if self.windows.len < 2 {
            return Err(MeasureError::Settings("a window has two tokens at least".to_owned()));
        }
        if self.scored() == 0 {
            return Err(MeasureError::Settings("the text has no token that could be told".to_owned()));
        }
        Ok(())
    }
}

/// What a file of logits is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    model: String,
    label: String,
    vocabulary: usize,
    window: usize,
    begin: Option<u32>,
    tokens: Vec<u32>,
}

/// Logits of a passage, to be read any number of times.
#[derive(Debug)]
pub struct Base {
    about: About,
    passage: Passage,
    file: BufReader<File>,
    path: PathBuf,
    /// Where the logits begin.
    start: u64,
}

impl Base {
    /// Opens a file that [`base_of`](super::base_of) wrote.
    pub fn open(path: &Path) -> Result<Self, MeasureError> {
        let file = File::open(path).map_err(|source| MeasureError::File { path: path.to_owned(), source })?;
        Self::of_file(file, path)
    }

    fn of_file(file: File, path: &Path) -> Result<Self, MeasureError> {
        let failed = |source| MeasureError::File { path: path.to_owned(), source };
        let fault = |fault: String| MeasureError::Base { path: path.to_owned(), fault };
        let size = file.metadata().map_err(failed)?.len();
        let mut file = BufReader::new(file);
        let mut form = vec![0; FORM.len()];
        file.read_exact(&mut form).or_else(only_if_short).map_err(failed)?;
        if form != FORM.as_bytes() {
            return Err(fault("it is no file of base logits; --save-base writes them".to_owned()));
        }
        let mut line = vec![];
        file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
        let about: About = serde_json::from_slice(&line)
            .map_err(|error| fault(format!("what it says of itself is damaged: {error}")))?;
        let windows = Windows { begin: about.begin, len: about.window };
        let passage = Passage { tokens: about.tokens.clone(), windows };
        let start = (FORM.len() + line.len()) as u64;
        let row = (about.vocabulary as u64).saturating_mul(size_of::<f32>() as u64);
        let expected = (passage.scored() as u64).saturating_mul(row).saturating_add(start);
        if about.vocabulary == 0 || size != expected {
            let complaint = format!("it has {size} bytes, and would have {expected}; make it again");
            return Err(fault(complaint));
        }
        passage.check()?;
        Ok(Self { about, passage, file, path: path.to_owned(), start })
    }

    /// What it is of, such as `cpu:0 f16`.
    pub fn label(&self) -> &str {
        &self.about.label
    }

    /// The model that it is of.
    pub fn model(&self) -> &str {
        &self.about.model
    }

    pub fn vocabulary(&self) -> usize {
        self.about.vocabulary
    }

    pub fn passage(&self) -> &Passage {
        &self.passage
    }

    /// All rows from the first on.
    pub(super) fn rows(&mut self) -> Result<Rows<'_>, MeasureError> {
        let failed = |source| MeasureError::File { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(self.start)).map_err(failed)?;
        let (bytes, row) =
            (vec![0; self.about.vocabulary * size_of::<f32>()], vec![0.0; self.about.vocabulary]);
        Ok(Rows { file: &mut self.file, path: &self.path, bytes, row })
    }

    /// How well the base itself knows the passage.
    pub fn perplexity(&mut self) -> Result<f64, MeasureError> {
        let passage = self.passage.clone();
        let untold = usize::from(passage.windows.begin.is_none());
        let mut rows = self.rows()?;
        let mut score = Score::default();
        for window in passage.windows.of(&passage.tokens) {
            for token in window.iter().skip(untold) {
                score.add(surprise(rows.next()?, *token as usize));
            }
        }
        Ok(score.perplexity())
    }
}

/// A short file is one of another form.
fn only_if_short(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) }
}

/// The rows of a base, one after another.
pub(super) struct Rows<'a> {
    file: &'a mut BufReader<File>,
    path: &'a Path,
    bytes: Vec<u8>,
    row: Vec<f32>,
}

impl Rows<'_> {
    /// The next row. There are as many as the passage has tokens to tell, so whoever reads the passage never asks for more.
    pub(super) fn next(&mut self) -> Result<&[f32], MeasureError> {
        let failed = |source| MeasureError::File { path: self.path.to_owned(), source };
        self.file.read_exact(&mut self.bytes).map_err(failed)?;
        let (numbers, _) = self.bytes.as_chunks::<4>();
        for (number, bytes) in self.row.iter_mut().zip(numbers) {
            *number = f32::from_le_bytes(*bytes);
        }
        Ok(&self.row)
    }
}

/// A base that is being written: under another name until it is whole.
pub(super) struct Writer {
    file: BufWriter<File>,
    /// Where it is to be in the end, and where it is now; none where it is kept under no name.
    names: Option<(PathBuf, PathBuf)>,
    whole: bool,
}

impl Writer {
    pub(super) fn create(
        path: Option<&Path>,
        model: &str,
        label: &str,
        passage: &Passage,
        vocabulary: usize,
    ) -> Result<Self, MeasureError> {
        let names = path.map(|path| {
            let mut partial = path.as_os_str().to_owned();
            partial.push(".partial");
            (path.to_owned(), PathBuf::from(partial))
        });
        let opened = match &names {
            Some((_, partial)) => {
                File::options().read(true).write(true).create(true).truncate(true).open(partial)
            }
            None => tempfile::tempfile(),
        };
        let failed = |source| MeasureError::File { path: shown(names.as_ref()), source };
        let file = BufWriter::new(opened.map_err(failed)?);
        let about = About {
            model: model.to_owned(),
            label: label.to_owned(),
            vocabulary,
            window: passage.windows.len,
            begin: passage.windows.begin,
            tokens: passage.tokens.clone(),
        };
        let mut writer = Self { file, names, whole: false };
        let line = serde_json::to_string(&about).map_err(io::Error::from).map_err(|e| writer.failed(e))?;
        writer.write(FORM.as_bytes())?;
        writer.write(line.as_bytes())?;
        writer.write(b"\n")?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, logits: &[f32]) -> Result<(), MeasureError> {
        let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        self.write(&bytes)
    }

    /// Gives it its name, and opens it.
    pub(super) fn finish(mut self) -> Result<Base, MeasureError> {
        self.file.flush().map_err(|error| self.failed(error))?;
        let again = |mut file: File| {
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let file = self.file.get_ref().try_clone().and_then(again).map_err(|error| self.failed(error))?;
        if let Some((path, partial)) = &self.names {
            fs::rename(partial, path).map_err(|error| self.failed(error))?;
        }
        self.whole = true;
        Base::of_file(file, &shown(self.names.as_ref()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MeasureError> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> MeasureError {
        MeasureError::File { path: shown(self.names.as_ref()), source }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((_, partial)) = self.names.as_ref().filter(|_| !self.whole) {
            // It is of no use to anybody; that it cannot be removed changes nothing.
            let _ = fs::remove_file(partial);
        }
    }
}

/// The name that is told of a file.
fn shown(names: Option<&(PathBuf, PathBuf)>) -> PathBuf {
    names.map_or_else(|| std::env::temp_dir().join("base logits"), |(path, _)| path.clone())
}
