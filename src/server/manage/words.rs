//! Texts of the editors' pages: Vietnamese, and beside it English.

use crate::bots::Kind;
use crate::counter::Language;

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
pub(super) use words;

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
    login_about: "Hãy dùng mã bắt đầu bằng tk_ mà quản trị viên máy đếm đã cấp.", "Use the token that the operator of the counter gave you; it begins with tk_.";
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
    some_refused: "Có lượt bị từ chối", "Visits are refused";
    never: "Chưa có", "None yet";
    long_ago: "Hơn 60 ngày trước", "Over 60 days ago";
    sort_by: "Sắp xếp theo", "Sort by";
    views: "Lượt xem", "Views";
    share: "Tỷ lệ", "Share";

    // A site
    tabs: "Các phần của trang", "Parts of the site";
    tab_figures: "Số liệu", "Figures";
    readers_online: "Đang xem", "Reading now";
    readers_hint: "Người xem trong 5 phút qua", "Readers of the last 5 minutes";
    visits_today: "Lượt hôm nay", "Visits today";
    visitors_today: "Khách hôm nay", "Visitors today";
    visitors_yesterday: "Khách hôm qua", "Visitors yesterday";
    range: "Khoảng thời gian", "Range";
    preset_today: "Hôm nay", "Today";
    preset_7: "7 ngày", "7 days";
    preset_28: "28 ngày", "28 days";
    preset_month: "Tháng", "Month";
    preset_quarter: "Quý", "Quarter";
    preset_year: "Năm", "Year";
    earlier: "Khoảng trước", "The range before";
    later: "Khoảng sau", "The range after";
    from: "Từ", "From";
    to: "đến", "to";
    apply: "Xem", "Show";
    hits: "Lượt xem", "Views";
    not_counted: "Không tính", "Not counted";
    compared_with: "so với", "against";
    of_all_requests: "của mọi lượt đến", "of all that came";
    kept_40_days: "Chỉ giữ 40 ngày gần nhất, riêng của máy này.", "Kept for the last 40 days, of this node alone.";
    by_day: "Theo ngày", "By day";
    by_week: "Theo tuần", "By week";
    by_month: "Theo tháng", "By month";
    bars: "Cột", "Bars";
    former_range: "Kỳ trước", "Former range";
    imported: "Nhập từ bộ đếm cũ", "Imported";
    so_far: "chưa hết", "so far";
    not_over: "Chưa hết kỳ", "Not over yet";
    weekend: "Cuối tuần", "Weekend";
    highest: "Cao nhất", "Most";
    on_average: "Trung bình mỗi ngày đã trọn", "On average per whole day";
    only_longer: "lượt chỉ biết theo tháng hoặc năm, nên không có trong các cột này.", "views are known by month or year only, so they are in none of these bars.";
    printed_report: "Báo cáo để in", "Report to print";
    as_table: "Số liệu dạng bảng", "As a table";
    time: "Thời gian", "Time";
    most_read: "Đọc nhiều nhất", "Most read";
    page: "Trang", "Page";
    folder: "Thư mục", "Folder";
    search_pages: "Tìm trong địa chỉ và tiêu đề", "Search addresses and titles";
    none_read: "Chưa có trang nào trong khoảng này.", "No page in this range yet.";
    no_page_found: "Không có trang nào khớp.", "No page matches.";
    other_pages: "(trang khác)", "(other pages)";
    pages_kept_from: "Lượt xem từng trang chỉ còn giữ từ", "Views of single pages are kept only from";
    nothing_uncounted: "Mọi lượt trong khoảng này đều được tính.", "All that came in this range was counted.";
    kind: "Loại", "Kind";
    of_this_node: "Số của máy này. Máy tìm kiếm, chương trình và tải lại trang không phải người đọc, nên không vào số lượt xem.", "Of this node. Search engines, programs and reloads are no readers, so they are not among the views.";
    all_of_site: "của cả trang", "of the whole site";

    tab_live: "Có đếm không?", "Does it count?";
    tab_tag: "Thẻ cần dán", "The tag to paste";
    tab_sources: "Số nhập vào", "Imports";

    // Does it count?
    live_hint: "Mở trang cần kiểm tra trong một thẻ khác của trình duyệt: lượt ấy hiện ra ở đây sau vài giây, cùng kết quả. Chưa thấy gì nghĩa là chưa có lượt nào từ lúc mở trang này, hoặc lượt đến bị từ chối.", "Open the page in question in another tab: its visit appears here within seconds, with the verdict. An empty list means that none has come since this page was opened, or that what came was refused.";
    live_full: "Quá nhiều người đang xem trang này; hãy thử lại sau một phút.", "Too many people look at such pages now; try again in a minute.";
    live_privacy: "Chỉ giữ 100 lượt cuối trong bộ nhớ khi có người xem; không có địa chỉ hay trình duyệt của người đọc.", "The last 100 visits are kept in memory, and only while somebody looks; they hold neither a reader's address nor the browser.";
    verdict: "Kết quả", "Verdict";
    counted: "Đã tính", "Counted";
    counted_under_other: "Đã tính vào (trang khác): còn ít mạng đọc trang này", "Counted under (other pages): too few networks have read it yet";
    limited: "vượt giới hạn", "more than the limits allow";
    origins_title: "Các địa chỉ được đếm", "Addresses that count";
    origins_hint: "Trang có địa chỉ khác, kể cả chỉ khác www hoặc http, bị từ chối:", "A page with another address is refused, even if only www or http differs:";

    refused_title: "Lượt bị từ chối", "Refused visits";
    refused_hint: "Các lượt này không được đếm. Máy này nhớ chúng từ lúc khởi động:", "None of these was counted. This node remembers them since its start:";
    refused_none: "Không có lượt nào bị từ chối từ lúc máy này khởi động.", "No visit was refused since this node was started.";
    refused_from: "Địa chỉ trang", "Address of the page";
    refused_last: "Lần cuối", "Last";
    refused_times: "Số lần", "Times";
    refused_why: "Vì sao, và cần làm gì", "Why, and what to do";
    unknown_origin: "(không rõ)", "(unknown)";
    why_origin: "Địa chỉ này không nằm trong các địa chỉ được đếm. Nếu là trang của mình, nhờ quản trị viên thêm vào origins (hoặc paths).", "This address is not among those that count. If the page is yours, ask the operator to add it to the site's origins, or paths.";
    why_header: "Trang nằm ở địa chỉ khác với địa chỉ mà thẻ gửi đi. Sửa thẻ, hoặc nhờ quản trị viên thêm địa chỉ này vào origins.", "The page lies at another address than the tag sends. Correct the tag, or ask the operator to add this address to origins.";
    why_site: "Thẻ ghi sai mã trang ở data-site. Dán lại thẻ đúng.", "The tag has another id in data-site. Paste the right tag.";
    why_prefix: "Thẻ gọi sai đường dẫn của máy đếm. Dán lại thẻ đúng.", "The tag calls a wrong path of the counter. Paste the right tag.";
    why_limited: "Quá nhiều lượt từ một nơi trong thời gian ngắn.", "Too many visits from one place in a short time.";
    why_unavailable: "Máy đếm lúc đó không ghi được vào đĩa.", "The counter could not write to its disk at that time.";
    why_malformed: "Yêu cầu không đọc được: không phải do thẻ gửi, hoặc bị sửa trên đường đi.", "The request can't be read: something else than the tag sent it, or changed it on its way.";

    // Tag
    counter_address: "Địa chỉ công khai của máy đếm", "The counter's public address";
    fill_in: "Điền vào thẻ", "Fill in";
    address_unknown: "Chưa biết địa chỉ công khai của máy đếm: điền ở trên, hoặc thay https://HOST trong các thẻ.", "The counter's public address is not known here: fill it in above, or replace https://HOST in the tags.";
    address_other: "Đây không phải địa chỉ của máy đếm này: chỉ dán thẻ nếu chính bạn đã điền địa chỉ ấy.", "This is not the address of this counter: paste the tags only if you filled it in yourself.";
    tag_basic: "Thẻ thường dùng", "The usual tag";
    tag_basic_hint: "Dán vào chỗ muốn hiện khung, trên mọi trang.", "Paste it where the box is to be, on every page.";
    tag_full: "Thẻ đầy đủ", "The full tag";
    tag_full_hint: "Trang không xê dịch khi số liệu hiện ra, và vẫn đếm khi trình duyệt tắt JavaScript.", "Nothing moves when the figures arrive, and it counts without JavaScript too.";
    tag_pixel: "Chỉ ảnh, không mã", "Picture only, no script";
    tag_pixel_hint: "Cho hệ thống không cho dán mã: đếm lượt xem, không hiện khung.", "For systems that allow no script: it counts, and shows no box.";
    tag_views: "Lượt xem của một bài", "Views of a page";
    tag_views_hint: "Cùng với thẻ trên, trong bài.", "Beside the tag above, in the article.";
    tag_top: "Bài đọc nhiều", "Most read pages";
    tag_top_hint: "Cùng với thẻ trên, nơi muốn hiện danh sách.", "Beside the tag above, where the list is to be.";

    // Imports
    no_imports: "Chưa nhập số của bộ đếm cũ nào. Người quản trị nhập bằng lệnh thongke import.", "No old counter's numbers were imported. The operator imports them by the command thongke import.";
    name: "Tên", "Name";
    source: "Nguồn", "Source";
    first_day: "Từ ngày", "First day";
    last_day: "Đến ngày", "Last day";
    page_counts: "Số của từng trang", "Counts of pages";
    undo: "Bỏ", "Take back";
    undo_hint: "Số của lần nhập này về 0 ở mọi nơi. Nhập lại tệp cũ thì có lại.", "All numbers of this import become 0 everywhere. Importing the file again brings them back.";
    undo_now: "Bỏ lần nhập này", "Take this import back";
    forgotten: "Đã bỏ lần nhập", "Taken back";
    was_reset: "Số liệu của trang đã được đặt lại về 0 một lần.", "The site's figures were set to zero once.";
    counted_by_nodes: "Tự đếm", "Counted";
    this_run: "Máy này, từ lần khởi động gần nhất", "This node, since its last start";
    earlier_run: "Máy này, trước đó", "This node, earlier";
    other_node: "Máy khác", "Another node";

    previous_page: "Trước", "Previous";
    next_page: "Sau", "Next";
}

/// A kind of uncounted hits.
pub fn kind_label(kind: Kind, language: Language) -> &'static str {
    let (vi, en) = match kind {
        Kind::SearchEngine => ("Máy tìm kiếm", "Search engines"),
        Kind::AiCrawler => ("Máy thu thập của AI", "AI crawlers"),
        Kind::SocialPreview => ("Xem trước của mạng xã hội", "Previews of social networks"),
        Kind::Seo => ("Công cụ SEO", "Search marketing"),
        Kind::Monitoring => ("Máy giám sát", "Monitoring"),
        Kind::Advertising => ("Quảng cáo", "Advertising"),
        Kind::FeedReader => ("Trình đọc tin RSS", "Feed readers"),
        Kind::Archiver => ("Máy lưu trữ web", "Archives"),
        Kind::Academic => ("Nghiên cứu", "Research"),
        Kind::Scanner => ("Máy dò quét", "Scanners"),
        Kind::BrowserAutomation => ("Trình duyệt do chương trình điều khiển", "Browsers steered by programs"),
        Kind::HttpLibrary => ("Chương trình, thư viện", "Programs and libraries"),
        Kind::Other => ("Máy khác", "Other bots"),
        Kind::NoBrowser => ("Không phải trình duyệt", "No browser"),
        Kind::NoUserAgent => ("Không khai báo trình duyệt", "No browser named"),
        Kind::Navigation => ("Mở thẳng địa chỉ đếm", "The counter's address opened itself"),
        Kind::Webdriver => ("Trình duyệt tự động", "Automated browsers"),
        Kind::Prefetch => ("Trình duyệt tải trước", "Fetched ahead"),
        Kind::Repeat => ("Tải lại trang", "Reloads"),
        Kind::Excluded => ("Địa chỉ được loại trừ", "Excluded addresses"),
    };
    match language {
        Language::Vietnamese => vi,
        Language::English => en,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_texts_of_its_own() {
        assert_ne!(VI, EN);
    }
}
