#![cfg_attr(fuzzing, no_main)]

thongke_fuzz::target!(page_address);
