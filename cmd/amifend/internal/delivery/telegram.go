package delivery

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// telegramToken matches the token of a bot.
var telegramToken = regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]{30,}$`)

// newTelegram returns the sender of a bot. Its text has no parse mode, so there is no markup.
func newTelegram(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	password, _ := u.User.Password()
	token := u.User.Username() + ":" + password
	chats := strings.Split(u.Query().Get("chats"), ",")
	silent := u.Query().Get("notification")
	if !telegramToken.MatchString(token) || chats[0] == "" || len(chats) > mostRecipients ||
		silent != "" && silent != "yes" && silent != "no" {
		return nil, isExample(u.Scheme)
	}

	return func(ctx context.Context, m Message) error {
		text := cut(unmentioned(oneLine(m.Subject)+"\n\n"+m.Text), 4000)
		for _, chat := range chats {
			body, err := json.Marshal(map[string]any{
				"chat_id": chat, "text": text, "disable_notification": silent == "no",
				"link_preview_options": map[string]bool{"is_disabled": true},
			})
			if err != nil {
				return err
			}
			err = post(ctx, "https://api.telegram.org/bot"+token+"/sendMessage", body, nil)
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}
