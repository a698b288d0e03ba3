//! Alternating runs of this project and its peers, so that other load on the machine affects all of them alike.

use crate::{
    files::{median, median_of, number},
    sh,
};
use anyhow::{Context, Result};
use serde_json::Value;

/// Runs one side once, and returns its measurements.
pub(super) type Side<'a> = Box<dyn Fn() -> Result<Value> + 'a>;

/// A peer, with its name for the log.
pub(super) struct PeerSide<'a> {
    pub(super) name: &'static str,
    pub(super) run: Side<'a>,
}

/// The measurements of all runs, in order.
#[derive(Debug)]
pub(super) struct PairedRuns {
    own: Vec<Value>,
    /// For each peer.
    peers: Vec<Vec<Value>>,
    speed: &'static str,
}

impl PairedRuns {
    /// Runs all sides `pairs` times. `speed` is the key of the measurement to compare; higher is better.
    pub(super) fn run(
        pairs: u16,
        speed: &'static str,
        own: &Side<'_>,
        peers: &[PeerSide<'_>],
    ) -> Result<Self> {
        let mut runs = Self { own: vec![], peers: vec![vec![]; peers.len()], speed };
        for pair in 1..=pairs {
            let ours = own()?;
            for (peer, results) in peers.iter().zip(&mut runs.peers) {
                let theirs = (peer.run)()?;
                let ratio = number(&ours, speed)? / number(&theirs, speed)?;
                sh::say(&format!("pair {pair}, {}: ratio {ratio:.2}", peer.name));
                results.push(theirs);
            }
            runs.own.push(ours);
        }
        Ok(runs)
    }

    /// The median over pairs of this project's speed divided by the peer's; `None` if there is no such peer.
    pub(super) fn ratio(&self, peer: usize) -> Result<Option<f64>> {
        let Some(peer) = self.peers.get(peer) else { return Ok(None) };
        let speed = |run: &Value| number(run, self.speed);
        let pairs = self.own.iter().zip(peer);
        Ok(Some(median(pairs.map(|(a, b)| Ok(speed(a)? / speed(b)?)).collect::<Result<_>>()?)))
    }

    /// The median of a measurement over this project's runs.
    pub(super) fn own(&self, key: &str) -> Result<f64> {
        median_of(&self.own, key)
    }

    /// The median of a measurement over the first peer's runs.
    pub(super) fn peer(&self, key: &str) -> Result<f64> {
        median_of(&self.peers[0], key)
    }

    /// The maximum of a measurement over the first peer's runs.
    pub(super) fn best(&self, key: &str) -> Result<f64> {
        self.peers[0].iter().try_fold(0.0, |best: f64, run| Ok(best.max(number(run, key)?)))
    }
}

/// Runs a peer's script, and parses the JSON that it prints.
pub(super) fn peer(interpreter: &str, script: &[String]) -> Result<Value> {
    let mut command = vec![interpreter.to_owned()];
    command.extend_from_slice(script);
    sh::say(&format!("+ {}", sh::shown(&command)));
    serde_json::from_str(sh::capture(&command)?.trim()).context("parsing the peer's output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    #[test]
    fn ratios_are_medians_over_pairs() {
        let pair = Cell::new(0);
        let result = |speeds: [f64; 3]| json!({"speed": speeds[pair.get() - 1]});
        // A machine that slows down: the ratio of each pair is still 2.
        let own: Side<'_> = Box::new(|| {
            pair.set(pair.get() + 1);
            Ok(result([8.0, 4.0, 1.0]))
        });
        let peer: Side<'_> = Box::new(|| Ok(result([4.0, 2.0, 0.5])));
        let peers = [PeerSide { name: "peer", run: peer }];
        let runs = PairedRuns::run(3, "speed", &own, &peers).unwrap();
        assert_eq!(runs.ratio(0).unwrap(), Some(2.0));
        assert_eq!(runs.ratio(1).unwrap(), None);
        assert_eq!((runs.own("speed").unwrap(), runs.peer("speed").unwrap()), (4.0, 2.0));
        assert_eq!(runs.best("speed").unwrap(), 4.0);
    }
}
