//! What a command reads. Nothing that it writes takes its place, whatever `--force` says.

use super::CaseArgs;
use crate::audit::{Chain, far};
use crate::dataset::{Case, CaseFile, ImageSet};
use crate::model::Model;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Files that a command reads. What a model keeps outside its file and which images there are is looked up only where an output exists.
#[derive(Debug, Default)]
pub(super) struct Reads {
    files: Vec<PathBuf>,
    models: Vec<PathBuf>,
    images: Vec<PathBuf>,
    /// Folders in which everything is read.
    folders: Vec<PathBuf>,
}

impl Reads {
    /// What a case names, and the case file where there is one.
    pub fn case(case: &Case, file: Option<&Path>) -> Self {
        let files = [file, case.labels.as_deref(), case.truth.as_deref()];
        Self {
            files: files.into_iter().flatten().map(Path::to_path_buf).collect(),
            models: vec![case.source.clone(), case.target.clone()],
            images: vec![case.images.clone()],
            folders: Vec::new(),
        }
    }

    /// The same of the arguments that name it.
    pub fn args(args: &CaseArgs, case: &Case) -> Self {
        Self::case(case, args.path().as_deref())
    }

    /// A log, what lies beside it, and what it names: models, images and case.
    pub fn log(log: &Path) -> Self {
        let mut reads = Self { files: vec![log.into()], folders: vec![crate::audit::side_folder(log)], ..Self::default() };
        let Some(state) = Chain::read(log).ok().and_then(|chain| chain.state) else { return reads };
        let opened = &state.opened;
        reads.models.extend([&opened.source.path, &opened.target.path].map(|path| far(log, path)));
        reads.images.push(far(log, &opened.images.path));
        if let Some(case) = opened.case.as_ref().map(|c| far(log, &c.path)) {
            let written = CaseFile::open(&case).unwrap_or_default();
            reads.files.extend([written.images.labels, written.images.truth].into_iter().flatten());
            reads.files.push(case);
        }
        reads
    }

    /// A file more, where there is one.
    pub fn and(mut self, file: Option<&Path>) -> Self {
        self.files.extend(file.map(Path::to_path_buf));
        self
    }

    /// A model more, with what it keeps outside its file.
    pub fn and_model(mut self, model: &Path) -> Self {
        self.models.push(model.into());
        self
    }

    /// What another part of the command reads.
    pub fn with(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.models.extend(other.models);
        self.images.extend(other.images);
        self.folders.extend(other.folders);
        self
    }

    /// Refuses an output that is one of them.
    pub fn spare(&self, output: &Path) -> Result<()> {
        // What is not there is not replaced.
        let Ok(place) = output.canonicalize() else { return Ok(()) };
        let is = |path: &Path| path.canonicalize().is_ok_and(|p| p == place);
        let in_folder = |folder: &PathBuf| folder.canonicalize().is_ok_and(|f| place.starts_with(f));
        let in_model = |model: &PathBuf| is(model) || outside(model).iter().any(|data| is(data));
        let in_images = |images: &PathBuf| {
            is(images) || ImageSet::open(images, None, None).is_ok_and(|set| set.items().iter().any(|item| is(&item.path)))
        };
        if self.files.iter().any(|file| is(file))
            || self.folders.iter().any(in_folder)
            || self.models.iter().any(in_model)
            || self.images.iter().any(in_images)
        {
            bail!("{}: is read by this very command, and is not replaced; name another file", output.display());
        }
        Ok(())
    }

    /// Refuses to put the data that a model keeps outside its file in the place of one of them.
    pub fn spare_data(&self, model: &Model, output: &Path) -> Result<()> {
        let own = model.path().unwrap_or(Path::new(""));
        for location in model.external_locations() {
            let (from, to) = (own.with_file_name(location), output.with_file_name(location));
            // In the model's own folder they stay where they are.
            if from.canonicalize().ok() != to.canonicalize().ok() {
                self.spare(&to)?;
            }
        }
        Ok(())
    }

    /// Refuses outputs that would replace what is read, and folders that are not there: said before the work, not after it.
    pub fn check<'a>(&self, outputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        let mut seen: Vec<&Path> = Vec::new();
        for path in outputs {
            self.spare(path)?;
            if seen.contains(&path) {
                bail!("{}: is named for two outputs", path.display());
            }
            seen.push(path);
            super::output::check_folder(path)?;
        }
        Ok(())
    }
}

/// Files in which a model keeps weights outside its own; none where it cannot be read.
fn outside(model: &Path) -> Vec<PathBuf> {
    let Ok(opened) = Model::open(model) else { return Vec::new() };
    opened.external_locations().into_iter().map(|location| model.with_file_name(location)).collect()
}
