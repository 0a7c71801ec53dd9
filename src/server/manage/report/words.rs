//! Words of a report.

use super::super::words::words;
use crate::counter::Language;

words! {
    nation: "Cộng hòa xã hội chủ nghĩa Việt Nam", "";
    motto: "Độc lập - Tự do - Hạnh phúc", "";
    number: "Số: ........../BC", "No. ..........";
    title: "Báo cáo thống kê truy cập", "Visit report";
    until: "Số liệu đến hết ngày", "Figures up to and including";
    general: "Số liệu chung", "Figures";
    figure: "Chỉ tiêu", "Figure";
    now: "Kỳ này", "This period";
    former: "Kỳ trước", "Former";
    last_year: "Cùng kỳ năm trước", "Same, last year";
    last_year_short: "Năm trước", "Last year";
    change: "So sánh", "Change";
    views: "Lượt xem", "Views";
    average: "Trung bình mỗi ngày", "Average per day";
    not_counted: "Lượt không tính", "Not counted";
    highest: "Ngày có nhiều lượt nhất", "Busiest day";
    former_is: "Kỳ trước", "Former period";
    same_is: "Cùng kỳ năm trước", "Same period of last year";
    chart_by_day: "Lượt xem theo ngày", "Views by day";
    chart_by_month: "Lượt xem theo tháng", "Views by month";
    day: "Ngày", "Day";
    month: "Tháng", "Month";
    most_read: "Các trang được đọc nhiều nhất", "Most read pages";
    rank: "TT", "#";
    page: "Trang", "Page";
    share: "Tỷ lệ", "Share";
    none_read: "Không có số liệu của từng trang trong kỳ này.", "There are no figures of single pages in this period.";
    uncounted: "Lượt truy cập không tính", "Visits that were not counted";
    uncounted_note: "Máy tìm kiếm, chương trình tự động và lượt tải lại không phải người đọc, nên không nằm trong số lượt xem. Số của máy đã lập báo cáo, giữ trong 40 ngày.", "Search engines, programs and reloads are no readers, so they are not among the views. Numbers of the node that made this report, kept for 40 days.";
    kind: "Loại", "Kind";
    hits: "Số lượt", "Number";
    none_uncounted: "Không có số liệu trong kỳ này.", "There are no numbers of this period.";
    author: "Người lập báo cáo", "Prepared by";
    head: "Thủ trưởng đơn vị", "Approved by";
    sign: "(Ký, ghi rõ họ tên)", "(Signature, full name)";
    made: "Lập bằng thongke lúc", "Made by thongke at";
    back: "Về trang số liệu", "Back to the figures";
    earlier: "Kỳ trước", "The period before";
    later: "Kỳ sau", "The period after";
    quarter: "Quý", "Quarter";
    year: "Năm", "Year";
    print: "In trang này bằng trình duyệt, khổ A4.", "Print this page with the browser, on A4.";
    as_text: "Văn bản", "Text";
    one_file: "Một tệp HTML", "One HTML file";
    periods: "Kỳ báo cáo", "Period";
}

impl Words {
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Vietnamese => &VI,
            Language::English => &EN,
        }
    }
}
