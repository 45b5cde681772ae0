//! Words of the window itself: pages, menus, the list of conversations.

use super::words;
use crate::gui::theme::ThemeChoice;

words! {
    view_chat: "Chat", "对话";
    view_settings: "Settings", "设置";
    view_model: "Model", "模型";
    menu: "Menu", "菜单";
    menu_conversation: "Conversation", "对话";
    menu_message: "Message", "消息";
    menu_model: "Model", "模型";
    menu_view: "View", "视图";
    more: "More", "更多";
    close: "Close", "关闭";
    cancel: "Cancel", "取消";
    save: "Save", "保存";
    undo: "Undo", "撤销";
    quit: "Quit", "退出";

    new_chat: "New conversation", "新对话";
    next_chat: "Next conversation", "下一个对话";
    previous_chat: "Previous conversation", "上一个对话";
    search_chats: "Search conversations", "搜索对话";
    nothing_found: "Nothing found", "没有找到";
    no_chats: "No conversations yet", "还没有对话";
    pinned: "Pinned", "已置顶";
    today: "Today", "今天";
    yesterday: "Yesterday", "昨天";
    last_week: "Last 7 days", "最近 7 天";
    last_month: "Last 30 days", "最近 30 天";
    older: "Older", "更早";
    title: "Title", "标题";
    rename: "Rename", "重命名";
    pin: "Pin", "置顶";
    unpin: "Unpin", "取消置顶";
    pin_or_unpin: "Pin or unpin", "置顶或取消置顶";
    delete_chat: "Delete conversation", "删除对话";
    chat_deleted(title: &str): "“{title}” is deleted.", "已删除“{title}”。";
    undo_delete: "Bring back what was deleted last", "恢复上次删除的内容";
    cannot_undo: "This cannot be brought back: what it followed is gone, too.", "无法恢复：它所接续的内容也已不在。";
    export: "Export", "导出";
    export_markdown: "Export as Markdown", "导出为 Markdown";
    export_json: "Export as JSON", "导出为 JSON";
    exported(count: usize, path: &str): "{count} exported to {path}", "已导出 {count} 个对话到 {path}";
    import: "Import conversations", "导入对话";
    imported(count: usize): "{count} conversations imported", "已导入 {count} 个对话";
    drop_here: "Drop a model folder, or exported conversations", "将模型文件夹或导出的对话拖放到这里";

    no_dialog: "This desktop has no dialog to choose files with. A path typed here does the same.", "此桌面没有选择文件的对话框，可以在这里输入路径。";
    path: "Path", "路径";
    path_to_write: "Path of the new file", "新文件的路径";
    take_path: "Use this path", "使用此路径";
    no_folder_there: "There is no folder under this path.", "此路径下没有文件夹。";
    no_file_there: "There is no file under this path.", "此路径下没有文件。";
    no_place_there: "No file can be made there: it is a folder, or its folder does not exist.", "无法在那里创建文件：它是一个文件夹，或所在文件夹不存在。";
    file_is_there: "There is a file already; choose another name.", "已有同名文件，请换一个名称。";

    palette: "Command palette", "命令面板";
    palette_hint: "What would you like to do?", "想做什么？";
    show_view(name: &str): "Go to {name}", "前往{name}";
    toggle_sidebar: "Show or hide the sidebar", "显示或隐藏侧栏";
    toggle_sampling: "Show or hide how replies are written", "显示或隐藏生成选项";
    use_theme(name: &str): "Colours: {name}", "配色：{name}";
    use_language(name: &str): "Language: {name}", "语言：{name}";
    zoom_in: "Larger", "放大";
    zoom_out: "Smaller", "缩小";
    zoom_reset: "Usual size", "默认大小";
    theme_system: "System", "跟随系统";
    theme_light: "Light", "浅色";
    theme_dark: "Dark", "深色";
}

impl super::Language {
    pub(crate) const fn theme(self, theme: ThemeChoice) -> &'static str {
        match theme {
            ThemeChoice::System => self.theme_system(),
            ThemeChoice::Light => self.theme_light(),
            ThemeChoice::Dark => self.theme_dark(),
        }
    }
}
