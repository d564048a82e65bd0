//! kmid
