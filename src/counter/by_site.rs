//! A map from site numbers to values.

/// A site's number in the node's file, given when the site is first seen there and kept for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteNumber(pub u32);

/// Values by the sites' numbers. Those are given one after the other, so a value's place is its site's
/// number: it is found without a hash, and with 100,000 sites each memory access less counts.
///
/// Places come in blocks, so that no hit waits while a hundred thousand values are moved to where there
/// is room for one more.
#[derive(Debug, Clone)]
pub struct BySite<T> {
    blocks: Vec<Option<Box<[Option<T>; BLOCK]>>>,
}

const BLOCK: usize = 128;

impl<T> Default for BySite<T> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

impl<T> BySite<T> {
    pub fn get(&self, site: SiteNumber) -> Option<&T> {
        let (block, at) = place(site);
        self.blocks.get(block)?.as_ref()?[at].as_ref()
    }

    pub fn get_mut(&mut self, site: SiteNumber) -> Option<&mut T> {
        let (block, at) = place(site);
        self.blocks.get_mut(block)?.as_mut()?[at].as_mut()
    }

    pub fn get_or_insert_with(&mut self, site: SiteNumber, value: impl FnOnce() -> T) -> &mut T {
        let (block, at) = place(site);
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        let block = self.blocks[block].get_or_insert_with(|| Box::new([const { None }; BLOCK]));
        block[at].get_or_insert_with(value)
    }
}

fn place(site: SiteNumber) -> (usize, usize) {
    let number = site.0 as usize;
    (number / BLOCK, number % BLOCK)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(numbers in prop::collection::vec(prop_oneof![0_u32..300, 0_u32..1_000_000], 0..40)) {
            let (mut held, mut map) = (BySite::default(), HashMap::new());
            for (at, number) in numbers.iter().enumerate() {
                let first = *map.entry(*number).or_insert(at);
                prop_assert_eq!(*held.get_or_insert_with(SiteNumber(*number), || at), first);
            }
            for number in numbers.iter().flat_map(|number| [*number, *number + 1]) {
                prop_assert_eq!(held.get(SiteNumber(number)), map.get(&number));
                prop_assert_eq!(held.get_mut(SiteNumber(number)), map.get_mut(&number));
            }
        }
    }
}
