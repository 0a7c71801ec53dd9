//! Statements, a file for each table or pair of tables.

pub mod counts;
pub mod journal;
pub mod meta;
pub mod pages;
pub mod salts;
pub mod sites;
pub mod sources;
pub mod titles;
pub mod visitors;
