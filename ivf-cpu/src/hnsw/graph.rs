//! The graph: the links of each node on each level.

use super::marks::Marks;
use std::collections::BTreeMap;

/// Marks the unused end of a row of links.
pub(super) const NONE: u32 = u32::MAX;

/// Highest level of a node. With 2 links, one node in 2^32 would be above it.
pub(super) const MAX_LEVEL: usize = 31;

/// Maximum number of nodes: a node and a flag fit 32 bits.
pub(super) const MAX_NODES: usize = 1 << 31;

/// Seed of the levels of nodes.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Links of fixed number to a row. A row ends with [`NONE`]s.
///
/// ```text
/// row 0 | 7 1 4 - | row 1 | 0 2 - - | row 2 | ...        4 links to a row, 4 bytes each
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) links: Vec<u32>,
    pub(super) width: usize,
}

impl Rows {
    /// Returns the links of a row, without the unused end.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[u32] {
        let row = self.whole(row);
        &row[..filled(row)]
    }

    /// Returns the links of a row, with the unused end.
    #[inline(always)]
    pub(super) fn whole(&self, row: usize) -> &[u32] {
        &self.links[row * self.width..][..self.width]
    }

    pub(super) fn len(&self) -> usize {
        self.links.len() / self.width
    }

    /// Adds or removes rows at the end. New rows have no links.
    fn resize(&mut self, rows: usize) {
        let (needed, capacity) = (rows * self.width, self.links.capacity());
        if needed > capacity {
            // Grows by a quarter, so that a large graph does not take twice its memory.
            self.links.reserve_exact(needed.max(capacity + capacity / 4) - self.links.len());
        }
        self.links.resize(needed, NONE);
    }
}

/// Returns the number of links in a row.
#[inline(always)]
pub(super) fn filled(row: &[u32]) -> usize {
    row.iter().position(|&link| link == NONE).unwrap_or(row.len())
}

/// A hierarchical graph (Malkov and Yashunin, arXiv 1603.09320). Node `i` is vector `i`.
///
/// Only one of several vectors with equal codes has links. The others are its copies, which cost a
/// search nothing, and cannot fill the links of each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Graph {
    /// Links on level 0: row `i` is that of node `i`.
    pub(super) ground: Rows,
    /// Links on levels above 0. The rows of node `i` begin at `upper_rows[i]`, that of level 1
    /// first.
    pub(super) upper: Rows,
    /// First upper row of each node, and the number of upper rows.
    pub(super) upper_rows: Vec<u32>,
    /// The first node of the highest level, unless there are no nodes.
    pub(super) entry: Option<u32>,
    /// The copies of nodes, ascending.
    pub(super) copies: BTreeMap<u32, Vec<u32>>,
}

impl Graph {
    /// Creates a graph of `m` links for each node and level, and twice as many on level 0.
    pub(super) fn new(m: usize) -> Self {
        Self {
            ground: Rows { links: Vec::new(), width: 2 * m },
            upper: Rows { links: Vec::new(), width: m },
            upper_rows: vec![0],
            entry: None,
            copies: BTreeMap::new(),
        }
    }

    /// Returns the number of nodes, copies included.
    pub(super) fn len(&self) -> usize {
        self.upper_rows.len() - 1
    }

    /// Returns the level of a node.
    #[inline(always)]
    pub(super) fn level(&self, node: u32) -> usize {
        let node = node as usize;
        (self.upper_rows[node + 1] - self.upper_rows[node]) as usize
    }

    /// Returns the links of a level, and the row of a node in them.
    #[inline(always)]
    pub(super) fn row_of(&self, node: u32, level: usize) -> (&Rows, usize) {
        match level {
            0 => (&self.ground, node as usize),
            _ => (&self.upper, self.upper_rows[node as usize] as usize + level - 1),
        }
    }

    /// Returns the links of a node on a level.
    #[inline(always)]
    pub(super) fn links(&self, node: u32, level: usize) -> &[u32] {
        let (rows, row) = self.row_of(node, level);
        rows.row(row)
    }

    /// Adds nodes without links up to a number, each with the level that its number gives it.
    pub(super) fn grow(&mut self, len: usize) {
        let m = self.upper.width;
        self.upper_rows.reserve(len - self.len());
        let mut upper = self.upper.len();
        for node in self.len()..len {
            upper += level_of(node as u64, m);
            self.upper_rows.push(upper as u32);
        }
        self.ground.resize(len);
        self.upper.resize(upper);
    }

    /// Removes the nodes from a number on. Links to them stay.
    pub(super) fn truncate(&mut self, len: usize) {
        self.upper_rows.truncate(len + 1);
        self.ground.resize(len);
        self.upper.resize(self.upper_rows[len] as usize);
    }

    /// Returns the memory of the graph, in bytes.
    pub(super) fn memory(&self) -> usize {
        let numbers = self.ground.links.capacity() + self.upper.links.capacity() + self.upper_rows.capacity();
        let copies: usize = self.copies.values().map(|copies| copies.capacity() * 4 + 40).sum();
        numbers * size_of::<u32>() + copies
    }

    /// Estimates the memory of `nodes` more nodes, without copies.
    pub(super) fn memory_of(&self, nodes: usize) -> usize {
        let m = self.upper.width;
        // Of m nodes, one is above level 0, of m^2 one is above level 1, ...
        let upper = nodes / (m - 1).max(1);
        let numbers = nodes.saturating_mul(2 * m + 1).saturating_add(upper.saturating_mul(m));
        numbers.saturating_mul(size_of::<u32>())
    }

    /// Checks numbers from a file: every link leads to another node of its level, and the entry is
    /// a node of the highest level.
    pub(super) fn check(&self) -> Result<(), String> {
        let len = self.len();
        let is_copy = self.copied()?;
        let nodes = (0..len as u32).filter(|node| !is_copy.has(*node));
        let top = nodes.map(|node| self.level(node)).max().unwrap_or(0);
        match self.entry {
            None if len > 0 => return Err(format!("{len} nodes and no entry")),
            Some(entry) if entry as usize >= len => return Err(format!("the entry is node {entry} of {len}")),
            Some(entry) if is_copy.has(entry) || self.level(entry) < top => {
                return Err(format!("the entry, node {entry}, is not on the highest level"));
            }
            _ => {}
        }
        if top > MAX_LEVEL {
            return Err(format!("a node of level {top}: at most {MAX_LEVEL} are supported"));
        }
        for node in 0..len as u32 {
            for level in 0..=self.level(node) {
                let (rows, row) = self.row_of(node, level);
                let whole = rows.whole(row);
                let links = &whole[..filled(whole)];
                if whole[links.len()..].iter().any(|&link| link != NONE) {
                    return Err(format!("node {node} has links after the end of its row on level {level}"));
                }
                let is_good = |&link: &u32| {
                    (link as usize) < len && link != node && self.level(link) >= level && !is_copy.has(link)
                };
                if let Some(bad) = links.iter().find(|link| !is_good(link)) {
                    return Err(format!("node {node} has a link to {bad} on level {level}"));
                }
                if is_copy.has(node) && !links.is_empty() {
                    return Err(format!("node {node} is a copy and has links"));
                }
            }
        }
        Ok(())
    }

    /// Returns marks of the copies, which must be distinct nodes that ascend, each after the node
    /// that it is a copy of.
    fn copied(&self) -> Result<Marks, String> {
        let mut is_copy = Marks::default();
        is_copy.start(self.len());
        for (&node, copies) in &self.copies {
            let mut last = node;
            for &copy in copies {
                if copy <= last || copy as usize >= self.len() || !is_copy.set(copy) {
                    return Err(format!("node {copy} is listed as a copy of node {node}"));
                }
                last = copy;
            }
        }
        match self.copies.keys().find(|node| is_copy.has(**node)) {
            Some(node) => Err(format!("node {node} is a copy and has copies")),
            None => Ok(is_copy),
        }
    }
}

/// Returns the level of a node: one of `m` nodes is above level 0, one of `m^2` above level 1, ...
///
/// The level depends on the number of the node alone, so that it does not depend on how vectors are
/// divided among calls. It is computed in integers, so it is the same on every machine.
fn level_of(node: u64, m: usize) -> usize {
    let (random, mut level, mut bound) = (random(node), 0, u64::MAX / m as u64);
    while random < bound && level < MAX_LEVEL {
        level += 1;
        bound /= m as u64;
    }
    level
}

/// Returns a pseudo-random number (splitmix64: Steele, Lea and Flood, OOPSLA 2014).
fn random(number: u64) -> u64 {
    let mut x = number.wrapping_add(1).wrapping_mul(SEED);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_of_m_is_on_each_higher_level() {
        for m in [2, 16, 32] {
            let mut graph = Graph::new(m);
            graph.grow(100_000);
            let above = |level| (0..100_000).filter(|&node| graph.level(node) > level).count() as f64;
            let expected = 100_000.0 / m as f64;
            assert!((above(0) - expected).abs() < 5.0 * expected.sqrt(), "{m}");
            assert!((above(1) - expected / m as f64).abs() < 5.0 * (expected / m as f64).sqrt(), "{m}");
        }
    }

    #[test]
    fn levels_do_not_depend_on_the_calls() {
        let (mut once, mut twice) = (Graph::new(4), Graph::new(4));
        once.grow(1000);
        twice.grow(100);
        twice.grow(1000);
        assert_eq!(once, twice);
        once.grow(2000);
        once.truncate(1000);
        assert_eq!(once, twice);
    }
}
