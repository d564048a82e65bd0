//! Pure resolution: raw values with their sources go in, settings and every issue at once come out.
