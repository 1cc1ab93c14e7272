//! The writer: grouping, order, and what it does while the database refuses.
