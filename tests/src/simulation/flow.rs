//! Maximum flow on integers: Dinic's algorithm, with capacities that never overflow because they are sums of costs.

use std::collections::VecDeque;

/// A capacity that bounds nothing.
pub const UNLIMITED: i64 = i64::MAX / 4;

/// A directed graph with capacities; nodes are numbered from zero.
#[derive(Debug, Default)]
pub struct Flow {
    arcs: Vec<Arc>,
    from: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, Copy)]
struct Arc {
    to: usize,
    left: i64,
}

impl Flow {
    /// A new node's number.
    pub fn node(&mut self) -> usize {
        self.from.push(Vec::new());
        self.from.len() - 1
    }

    /// An arc of that capacity; its return arc stands behind it, so that `arc ^ 1` is the other direction.
    pub fn arc(&mut self, from: usize, to: usize, capacity: i64) {
        self.from[from].push(self.arcs.len());
        self.arcs.push(Arc { to, left: capacity.max(0) });
        self.from[to].push(self.arcs.len());
        self.arcs.push(Arc { to: from, left: 0 });
    }

    /// The most that flows from `source` to `sink`.
    pub fn most(mut self, source: usize, sink: usize) -> i64 {
        let mut total = 0;
        while let Some(levels) = self.levels(source, sink) {
            let mut next = vec![0; self.from.len()];
            loop {
                let pushed = self.push(source, sink, UNLIMITED, &levels, &mut next);
                if pushed == 0 {
                    break;
                }
                total += pushed;
            }
        }
        total
    }

    /// The distance of every node from the source; `None` when the sink cannot be reached any more.
    fn levels(&self, source: usize, sink: usize) -> Option<Vec<usize>> {
        let mut levels = vec![usize::MAX; self.from.len()];
        levels[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(node) = queue.pop_front() {
            for &arc in &self.from[node] {
                let Arc { to, left } = self.arcs[arc];
                if left > 0 && levels[to] == usize::MAX {
                    levels[to] = levels[node] + 1;
                    queue.push_back(to);
                }
            }
        }
        (levels[sink] != usize::MAX).then_some(levels)
    }

    /// Pushes along one shortest path: never deeper than there are nodes.
    fn push(&mut self, node: usize, sink: usize, most: i64, levels: &[usize], next: &mut [usize]) -> i64 {
        if node == sink {
            return most;
        }
        while next[node] < self.from[node].len() {
            let arc = self.from[node][next[node]];
            let Arc { to, left } = self.arcs[arc];
            if left > 0 && levels[to] == levels[node] + 1 {
                let pushed = self.push(to, sink, most.min(left), levels, next);
                if pushed > 0 {
                    self.arcs[arc].left -= pushed;
                    self.arcs[arc ^ 1].left += pushed;
                    return pushed;
                }
            }
            next[node] += 1;
        }
        0
    }
}
