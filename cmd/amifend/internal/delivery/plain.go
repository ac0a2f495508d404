package delivery

import (
	"strings"
	"unicode/utf8"
)

// gap is a zero width space. Where it stands, neither a mention nor a link is recognized.
const gap = "\u200b"

// unlinked returns text in which no client finds the beginning of a link.
func unlinked(text string) string {
	return strings.NewReplacer("://", ":"+gap+"//", "www.", "www"+gap+".").Replace(text)
}

// unmentioned returns text in which no client finds a mention or a link: names of accounts such as
// @everyone and <!channel> are plain ASCII, so quoting leaves them as they are.
func unmentioned(text string) string {
	return strings.NewReplacer("@", "@"+gap, "<", "<"+gap).Replace(unlinked(text))
}

// slackText returns text for Slack: the three characters of its markup are escaped by its rules,
// and those of emphasis stand alone.
func slackText(text string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<"+gap, "&lt;", "<", "&lt;", ">", "&gt;",
		"*", "*"+gap, "_", "_"+gap, "~", "~"+gap, "`", "`"+gap,
	).Replace(unmentioned(text))
}

// discordText returns text for Discord, whose Markdown has a backslash to escape.
func discordText(text string) string {
	var b strings.Builder
	for _, r := range unmentioned(text) {
		if strings.ContainsRune("\\`*_~|[]()>#-", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// cut returns at most limit bytes of text, whole lines if possible.
func cut(text string, limit int) string {
	const more = "\n(cut: amifend report shows all)"
	if len(text) <= limit {
		return text
	}

	text = text[:limit-len(more)]
	if i := strings.LastIndexByte(text, '\n'); i > limit/2 {
		text = text[:i]
	}
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + more
}

// oneLine returns a subject: printable ASCII in one line, since it becomes a header.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return cut(text, 200)
}
