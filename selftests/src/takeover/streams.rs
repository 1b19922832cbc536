// SPDX-License-Identifier: GPL-2.0
//! All traffic of a test: datagrams both ways and a TCP connection over each place.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::Scope;

use anyhow::Result;

use super::places::Place;
use super::stream::connection;
use super::stream::datagrams;
use super::stream::Pace;
use super::stream::Stream;
use super::stream::Tally;
use crate::check;

#[derive(Default)]
pub struct Streams {
    /// Each with what it had received when the phase began.
    streams: Vec<(Stream, AtomicU64)>,
    over: AtomicBool,
}

impl Streams {
    pub fn over(places: &[Place]) -> Result<Self> {
        let mut streams = Vec::new();
        for (number, place) in places.iter().enumerate() {
            let [left, right] = &place.ends;
            let port = 5000 + 10 * number as u16;
            let name = |what| format!("{what} over {}", place.name);
            streams.push(datagrams(&name("UDP there"), left, right, port)?);
            streams.push(datagrams(&name("UDP back"), right, left, port + 1)?);
            streams.push(connection(&name("TCP"), left, right, port + 2)?);
        }
        let streams = streams.into_iter();
        Ok(Self {
            streams: streams.map(|stream| (stream, AtomicU64::new(0))).collect(),
            over: AtomicBool::new(false),
        })
    }

    /// Starts the threads; they go on until [`Self::stop`].
    pub fn start<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>, pace: Pace) {
        for (number, (stream, _)) in self.streams.iter().enumerate() {
            stream.start(scope, number, pace, &self.over);
        }
    }

    pub fn stop(&self) {
        self.over.store(true, Relaxed);
    }

    /// Ends a phase: each stream must have received something since the last one, or do so soon.
    pub fn progress(&self, phase: &str) -> Result<()> {
        for (stream, mark) in &self.streams {
            check::soon(&format!("{} goes on {phase}", stream.name), || {
                Ok(stream.received() > mark.load(Relaxed))
            })?;
        }
        for (stream, mark) in &self.streams {
            mark.store(stream.received(), Relaxed);
        }
        Ok(())
    }

    /// Once all threads have ended: the counts in words, and whether anything was lost.
    pub fn verdict(&self) -> Result<String> {
        let mut all = Tally::default();
        let mut bad = Vec::new();
        for (stream, _) in &self.streams {
            let tally = stream.tally();
            all.add(tally);
            if !tally.is_clean() {
                bad.push(format!("{}: {tally:?}", stream.name));
            }
        }
        check::equal("streams that lost something", bad, Vec::<String>::new())?;
        Ok(format!(
            "{} streams: {} datagrams, {} lost, {} reordered, {} refused; {} KiB by TCP",
            self.streams.len(),
            all.datagrams,
            all.lost,
            all.reordered,
            all.failed,
            all.bytes >> 10
        ))
    }
}
