//! Texts of the editors' pages: Vietnamese, and beside it English.

macro_rules! words {
    ($($name:ident: $vi:literal, $en:literal;)+) => {
        #[derive(Debug, PartialEq, Eq)]
        pub struct Words {
            $(pub $name: &'static str,)+
        }

        pub static VI: Words = Words { $($name: $vi,)+ };
        pub static EN: Words = Words { $($name: $en,)+ };
    };
}

words! {
    // Frame
    skip: "Đến nội dung", "Skip to content";
    all_sites: "Các trang", "All sites";
    other_language: "English", "Tiếng Việt";
    signed_in: "Đăng nhập bằng", "Signed in with";
    stale: "Redis đang không trả lời, nên có thể thiếu lượt mới nhất ở các máy khác.", "Redis does not answer, so the newest visits at other nodes may be missing.";

    // Errors
    error_not_found: "Không có trang này", "There is no such page";
    error_forbidden: "Không được phép", "Not allowed";
    error_unavailable: "Chưa trả lời được, hãy thử lại sau", "No answer now; try again later";
    error_malformed: "Yêu cầu không đúng", "The request is wrong";
    back_to_sites: "Về danh sách trang", "Back to all sites";

    // Overview
    site: "Trang", "Site";
    today: "Hôm nay", "Today";
    yesterday: "Hôm qua", "Yesterday";
    this_month: "Tháng này", "This month";
    change: "So với tháng trước", "Against last month";
    change_hint: "Các ngày đã trọn của tháng này so với cùng số ngày đầu tháng trước", "The month's whole days against as many first days of last month";
    thirty_days: "30 ngày", "30 days";
    last_hit: "Lượt cuối", "Last visit";
    sum: "Tổng cộng", "In all";
    search_sites: "Tìm trang", "Search sites";
    search: "Tìm", "Search";
    sites_found: "trang", "sites";
    none_found: "Không có trang nào khớp.", "No site matches.";
    no_sites: "Chưa có trang nào để xem.", "There is no site to see yet.";
    silent: "Không có lượt nào trong 24 giờ", "No visit for 24 hours";
    never: "Chưa có", "None yet";
    long_ago: "Hơn 60 ngày trước", "Over 60 days ago";
    sort_by: "Sắp xếp theo", "Sort by";
    previous_page: "Trước", "Previous";
    next_page: "Sau", "Next";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_texts_of_its_own() {
        assert_ne!(VI, EN);
    }
}
