// SPDX-License-Identifier: GPL-2.0
//! One run of all tests: first on the C driver, then on ours, then the tests of what only ours has; and on devices that
//! were taken over.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;

use crate::adopted;
use crate::driver::Driver;
use crate::module;
use crate::runner;
use crate::runner::Settings;
use crate::runner::Sightings;
use crate::tests::Needs;
use crate::tests::Test;

#[derive(Default)]
pub struct Suite {
    pub passed: u32,
    pub failed: u32,
    /// Run no test any more once one has failed.
    stop: bool,
    /// Tests that this machine cannot run. They are neither.
    pub not_run: u32,
    /// Tests that showed something else on ours than on C.
    pub differing: Vec<String>,
    /// What the C driver showed, test by test.
    golden: BTreeMap<String, Sightings>,
}

impl Suite {
    pub fn new(stop: bool) -> Self {
        Self {
            stop,
            ..Self::default()
        }
    }

    /// Takes what an earlier run on the C driver has shown.
    pub fn load_golden(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{}: run --driver c --record first", path.display()))?;
        self.golden = serde_json::from_str(&text).context("not a record of this program")?;
        Ok(())
    }

    pub fn save_golden(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.golden)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    pub fn on_c(&mut self, tests: &[Test], settings: &Settings) -> Result<()> {
        for test in tests {
            match test.needs {
                Needs::AnyDriver => self.one(test, Driver::C, settings)?,
                Needs::Module(why) => println!("skip c     {}: {why}", test.name),
            }
        }
        Ok(())
    }

    pub fn on_rust(&mut self, tests: &[Test], settings: &Settings) -> Result<()> {
        let both = tests.iter().filter(|test| test.needs == Needs::AnyDriver);
        if !self.loaded(&both.collect::<Vec<_>>(), Driver::Rust, settings)? {
            return Ok(());
        }
        for test in tests.iter().filter(|test| test.needs != Needs::AnyDriver) {
            self.one(test, Driver::Rust, settings)?;
            // A test that failed half way must not decide over the next one.
            if module::is_loaded() {
                module::unload().with_context(|| format!("after {}", test.name))?;
            }
        }
        Ok(())
    }

    /// The tests that the built-in driver can run, on devices that it has made and the module has taken over.
    pub fn on_adopted(&mut self, tests: &[Test], settings: &Settings) -> Result<()> {
        let mut suited = Vec::new();
        for test in tests.iter().filter(|test| test.needs == Needs::AnyDriver) {
            match adopted::unsuited(test) {
                Some(why) => self.line("skip", Driver::Adopted, &format!("{}: {why}", test.name)),
                None => suited.push(test),
            }
        }
        adopted::set(true);
        let outcome = self.loaded(&suited, Driver::Adopted, settings);
        adopted::set(false);
        outcome.map(drop)
    }

    /// Runs tests with the module loaded; returns whether it could be loaded and unloaded.
    fn loaded(&mut self, tests: &[&Test], driver: Driver, settings: &Settings) -> Result<bool> {
        if tests.is_empty() {
            return Ok(true);
        }
        let start = Instant::now();
        if let Err(error) = module::load(&settings.module) {
            self.line("FAIL", driver, &format!("module::load: {error:#}"));
            self.failed += 1;
            return Ok(false);
        }
        println!("# loaded in {} ms", start.elapsed().as_millis());
        for test in tests {
            self.one(test, driver, settings)?;
        }
        if let Err(error) = module::unload() {
            self.line("FAIL", driver, &format!("module::unload: {error:#}"));
            self.failed += 1;
            return Ok(false);
        }
        Ok(true)
    }

    fn one(&mut self, test: &Test, driver: Driver, settings: &Settings) -> Result<()> {
        if self.stop && self.failed > 0 {
            return Ok(());
        }
        if let Some(why) = (test.lacks)() {
            self.not_run += 1;
            self.line("skip", driver, &format!("{}: {why}", test.name));
            return Ok(());
        }
        let mut outcome = runner::run(test, settings)?;
        if driver == Driver::C {
            // What a failed run has shown is not the standard.
            if outcome.failure.is_none() {
                self.golden.insert(test.name.clone(), outcome.same);
            }
        } else if outcome.failure.is_none() {
            let golden = self.golden.get(&test.name);
            outcome.failure = golden.and_then(|golden| difference(golden, &outcome.same));
            if outcome.failure.is_some() {
                self.differing.push(test.name.clone());
            }
        }
        let mut took = format!("{} ms", outcome.took.as_millis());
        for note in &outcome.notes {
            took.push_str("; ");
            took.push_str(note);
        }
        match outcome.failure {
            None => {
                self.passed += 1;
                self.line("ok", driver, &format!("{} ({took})", test.name));
            }
            Some(why) => {
                self.failed += 1;
                self.line("FAIL", driver, &format!("{}: {why} ({took})", test.name));
            }
        }
        Ok(())
    }

    fn line(&self, verdict: &str, driver: Driver, text: &str) {
        println!("{verdict:<4} {driver:<5} {text}");
    }
}

/// The first thing that is not the same, line against line.
fn difference(c: &Sightings, rust: &Sightings) -> Option<String> {
    for label in c.keys().chain(rust.keys()) {
        let (on_c, on_rust) = (c.get(label), rust.get(label));
        if on_c == on_rust {
            continue;
        }
        let (Some(on_c), Some(on_rust)) = (on_c, on_rust) else {
            return Some(format!("{label}: seen on one driver only"));
        };
        let mut c_lines = on_c.lines();
        let mut rust_lines = on_rust.lines();
        loop {
            match (c_lines.next(), rust_lines.next()) {
                (None, None) => return Some(format!("{label}: differs in line ends")),
                (c, rust) if c != rust => {
                    let (c, rust) = (c.unwrap_or("(end)"), rust.unwrap_or("(end)"));
                    return Some(format!("{label} differs: c \"{c}\", rust \"{rust}\""));
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Sightings {
        Sightings::from([("dump".to_owned(), text.to_owned())])
    }

    #[test]
    fn the_same_is_no_difference() {
        assert_eq!(difference(&seen("a\nb"), &seen("a\nb")), None);
    }

    #[test]
    fn the_first_other_line_is_told() {
        let told = difference(&seen("a\nb\nc"), &seen("a\nx\nc"));
        assert_eq!(told.as_deref(), Some("dump differs: c \"b\", rust \"x\""));
        let told = difference(&seen("a\nb"), &seen("a"));
        assert_eq!(
            told.as_deref(),
            Some("dump differs: c \"b\", rust \"(end)\"")
        );
    }

    #[test]
    fn what_one_driver_lacks_is_told() {
        let told = difference(&seen("a"), &Sightings::new());
        assert_eq!(told.as_deref(), Some("dump: seen on one driver only"));
    }
}
