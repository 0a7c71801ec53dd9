//! Words of the tables that become files.

use super::super::words::words;
use crate::counter::Language;

words! {
    sites: "Các trang", "Sites";
    views: "Lượt xem", "Views";
    most_read: "Đọc nhiều nhất", "Most read";
    not_counted: "Không tính", "Not counted";
    sources: "Nguồn số liệu", "Sources";
    page_days: "Lượt xem theo ngày", "Views by day";
    page_months: "Lượt xem theo tháng", "Views by month";
    site: "Trang", "Site";
    id: "Mã", "Id";
    today: "Hôm nay", "Today";
    yesterday: "Hôm qua", "Yesterday";
    this_month: "Tháng này", "This month";
    compared_now: "Tháng này, các ngày đã trọn", "This month, whole days";
    compared_former: "Tháng trước, cùng số ngày", "Last month, as many days";
    last_hit: "Ngày có lượt cuối", "Day of the last visit";
    day: "Ngày", "Day";
    first_day: "Từ ngày", "From";
    last_day: "Đến ngày", "To";
    former: "Kỳ trước", "Former range";
    title: "Tiêu đề", "Title";
    address: "Địa chỉ", "Address";
    share: "Tỷ lệ", "Share";
    kind: "Loại", "Kind";
    source: "Nguồn", "Source";
    counters: "Bộ đếm của trang", "Counters of the site";
    page_counters: "Bộ đếm của từng trang", "Counters of pages";
}

impl Words {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Vietnamese => &VI,
            Language::English => &EN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheets_name_fits_its_tab() {
        for words in [&VI, &EN] {
            for name in [
                words.sites,
                words.views,
                words.most_read,
                words.not_counted,
                words.sources,
                words.page_days,
                words.page_months,
            ] {
                assert!(name.chars().count() <= 31 && !name.contains(['[', ']', ':', '*', '?', '/', '\\', '\'']));
            }
        }
    }
}
