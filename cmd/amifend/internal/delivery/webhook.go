package delivery

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// leastSecret is the shortest secret of a webhook, in bytes.
const leastSecret = 16

// newWebhook returns the sender of a webhook. Headers and signature are those of Standard Webhooks
// (standardwebhooks.com), for which there are libraries in many languages.
func newWebhook(u *url.URL, secret string) (func(context.Context, Message) error, error) {
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return nil, errors.New("would send in plain text to another machine; write https://")
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("holds a user or a fragment; delete it: the signature proves the " +
			"sender")
	}
	key, err := webhookKey(secret)
	if err != nil {
		return nil, err
	}

	return func(ctx context.Context, m Message) error {
		// Each attempt has a time of its own, so that one that comes late is still in the window.
		at := strconv.FormatInt(time.Now().Unix(), 10)
		return post(ctx, u.String(), m.Body, http.Header{
			"Webhook-Id":        {m.ID},
			"Webhook-Timestamp": {at},
			"Webhook-Signature": {"v1," + Sign(key, m.ID, at, m.Body)},
		})
	}, nil
}

// webhookKey returns the key of a secret: the bytes behind whsec_ in Base64, or the text itself.
func webhookKey(secret string) ([]byte, error) {
	key := []byte(secret)
	if text, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, errors.New("has a secret that is not Base64 behind whsec_; write what " +
				"`openssl rand -base64 24` prints there")
		}
	}
	if len(key) < leastSecret {
		return nil, errors.New("has a secret of less than 16 bytes; write what " +
			"`openssl rand -hex 32` prints")
	}
	return key, nil
}

// Sign returns the signature of a webhook's body: HMAC-SHA256 over the ID, the time in seconds
// since the Unix epoch, and the body, with dots between them, in Base64.
func Sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// newTeams returns the sender of a workflow of Teams. A TextRun has no markup, and mentions need an
// entity that the card has not.
func newTeams(u *url.URL, _ string) (func(context.Context, Message) error, error) {
	to := *u
	to.Scheme = "https"
	if u.User != nil || len(u.Path) < 2 {
		return nil, isExample("teams")
	}

	type object map[string]any
	paragraph := func(text string, bold bool) object {
		run := object{"type": "TextRun", "text": text}
		if bold {
			run["weight"] = "bolder"
		}
		return object{"type": "RichTextBlock", "inlines": []object{run}}
	}

	return func(ctx context.Context, m Message) error {
		lines := []object{paragraph(unmentioned(oneLine(m.Subject)), true)}
		for line := range strings.Lines(unmentioned(cut(m.Text, 8000))) {
			lines = append(lines, paragraph(strings.TrimRight(line, "\n")+" ", false))
		}

		body, err := json.Marshal(object{
			"type": "message",
			"attachments": []object{{
				"contentType": "application/vnd.microsoft.card.adaptive",
				"content": object{
					"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
					"type":    "AdaptiveCard", "version": "1.4", "body": lines,
				},
			}},
		})
		if err != nil {
			return err
		}
		return post(ctx, to.String(), body, nil)
	}, nil
}

// post sends JSON.
func post(ctx context.Context, to string, body []byte, h http.Header) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "amifend")
	maps.Copy(r.Header, h)

	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
