//! Other sessions change the same objects while runs plan and apply.
