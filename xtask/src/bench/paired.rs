//! Runs of this project and of its peers in turn, so that what the machine does besides falls on all of them.

use crate::{
    figures::{median, median_of, number},
    sh,
};
use anyhow::Result;
use serde_json::Value;

/// One run of a side: its figures.
pub(super) type Side<'a> = Box<dyn Fn() -> Result<Value> + 'a>;

/// A peer by the name that the pair's line gives it.
pub(super) struct Opponent<'a> {
    pub(super) name: &'static str,
    pub(super) run: Side<'a>,
}

/// What the runs said, in their order.
#[derive(Debug)]
pub(super) struct Turns {
    own: Vec<Value>,
    /// Of each peer.
    peers: Vec<Vec<Value>>,
    speed: &'static str,
}

impl Turns {
    /// Runs all sides `pairs` times; `speed` is the figure that they are compared by, more being better.
    pub(super) fn take(
        pairs: u16,
        speed: &'static str,
        own: &Side<'_>,
        peers: &[Opponent<'_>],
    ) -> Result<Self> {
        let mut turns = Self { own: vec![], peers: vec![vec![]; peers.len()], speed };
        for pair in 1..=pairs {
            let ours = own()?;
            for (peer, said) in peers.iter().zip(&mut turns.peers) {
                let theirs = (peer.run)()?;
                let ratio = number(&ours, speed)? / number(&theirs, speed)?;
                sh::say(&format!("pair {pair}, {}: {ratio:.2} times", peer.name));
                said.push(theirs);
            }
            turns.own.push(ours);
        }
        Ok(turns)
    }

    /// The median over pairs of this project's speed over a peer's; none where there is no such peer.
    pub(super) fn ratio(&self, peer: usize) -> Result<Option<f64>> {
        let Some(peer) = self.peers.get(peer) else { return Ok(None) };
        let speed = |run: &Value| number(run, self.speed);
        let pairs = self.own.iter().zip(peer);
        Ok(Some(median(pairs.map(|(a, b)| Ok(speed(a)? / speed(b)?)).collect::<Result<_>>()?)))
    }

    /// The median of a figure over this project's runs.
    pub(super) fn own(&self, key: &str) -> Result<f64> {
        median_of(&self.own, key)
    }

    /// The median of a figure over the first peer's runs.
    pub(super) fn peer(&self, key: &str) -> Result<f64> {
        median_of(&self.peers[0], key)
    }

    /// The largest of a figure over the first peer's runs.
    pub(super) fn best(&self, key: &str) -> Result<f64> {
        self.peers[0].iter().try_fold(0.0, |best: f64, run| Ok(best.max(number(run, key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    #[test]
    fn ratios_are_of_pairs() {
        let turn = Cell::new(0);
        let said = |speeds: [f64; 3]| json!({"speed": speeds[turn.get() - 1]});
        // A machine that becomes slower: each pair's ratio is 2, whatever the figures' medians are.
        let own: Side<'_> = Box::new(|| {
            turn.set(turn.get() + 1);
            Ok(said([8.0, 4.0, 1.0]))
        });
        let peer: Side<'_> = Box::new(|| Ok(said([4.0, 2.0, 0.5])));
        let turns = Turns::take(3, "speed", &own, &[Opponent { name: "peer", run: peer }]).unwrap();
        assert_eq!(turns.ratio(0).unwrap(), Some(2.0));
        assert_eq!(turns.ratio(1).unwrap(), None);
        assert_eq!((turns.own("speed").unwrap(), turns.peer("speed").unwrap()), (4.0, 2.0));
        assert_eq!(turns.best("speed").unwrap(), 4.0);
    }
}
