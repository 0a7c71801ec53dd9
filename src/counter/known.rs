//! A node's own knowledge of a counter, and its sum with the counts from Redis.

use super::{Register, Source};

/// One counter as it stands in a node's file and memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Over all sources that the node knows of.
    pub sum: i64,
    /// The sources of which Redis may have less, with what they contributed.
    pub unpublished: Vec<(Source, Register)>,
}

impl Known {
    /// The figure, where Redis has `total`, and of the unpublished sources `there`, read atomically:
    /// what it has from everyone, and what it lacks from this node.
    pub fn with(&self, total: i64, there: &[Option<Register>]) -> i64 {
        let lacking = self.unpublished.iter().zip(there).map(|((_, here), there)| match there {
            None => here.hits(),
            Some(there) => here.merge(*there).hits() - there.hits(),
        });
        total + lacking.sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_has_what_others_counted_and_the_node_what_redis_lacks() {
        let known = Known { sum: 10, unpublished: vec![(Source::Run(1), Register::Grown(10))] };
        assert_eq!(known.with(100, &[None]), 110);
        assert_eq!(known.with(104, &[Some(Register::Grown(4))]), 110);
        assert_eq!(known.with(112, &[Some(Register::Grown(12))]), 112);
        let written = |generation, hits| Register::Written { generation, hits };
        let imported = Known { sum: 5, unpublished: vec![(Source::Run(1), written(2, 5))] };
        assert_eq!(imported.with(20, &[Some(written(1, 20))]), 5);
        assert_eq!(imported.with(20, &[Some(written(3, 20))]), 20);
    }
}
