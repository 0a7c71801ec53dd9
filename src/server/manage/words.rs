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

    // Login
    log_in: "Đăng nhập", "Log in";
    log_out: "Đăng xuất", "Log out";
    token: "Mã truy cập", "Token";
    login_about: "Quản trị viên của máy chủ cấp mã này; mã bắt đầu bằng tk_.", "The operator of the counter hands it out; it begins with tk_.";
    login_wrong: "Mã không đúng, đã bị thu hồi hoặc đã hết hạn.", "The token is wrong, revoked or over.";
    login_too_often: "Đã thử sai quá nhiều lần; hãy đợi rồi thử lại.", "Too many failed attempts; wait and try again.";
    onward: "Tiếp tục", "Continue";

    // Share links
    share_links: "Liên kết chia sẻ", "Share links";
    share_about: "Ai có liên kết đều xem được trang này, không sửa được gì.", "Everyone who has a link can view this site and change nothing.";
    share_made: "Liên kết mới, chỉ hiện một lần:", "The new link, shown this once:";
    share_none: "Chưa có liên kết nào.", "There is no link yet.";
    share_name: "Tên", "Name";
    share_since: "Từ ngày", "Since";
    share_until: "Đến ngày", "Until";
    share_over: "đã hết hạn", "over";
    share_fixed: "Trong tệp cấu hình", "In the configuration";
    share_revoke: "Thu hồi", "Revoke";
    share_new: "Tạo liên kết", "Make a link";
    share_days: "Số ngày có hiệu lực", "Days for which it opens";
    back_to_site: "Về trang", "Back to the site";

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
