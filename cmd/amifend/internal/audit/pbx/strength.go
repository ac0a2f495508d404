package pbx

import (
	"slices"
	"strings"

	"github.com/ccojocar/zxcvbn-go"
)

// mostJudged bounds the part of a password that is estimated: the estimate takes 0.2 s for 32
// characters in the worst case, and a minute for 256.
const mostJudged = 32

// strongEnough is the score from which on a password is not weak. The scores are 0 to 4; 3 means
// that 10^8 guesses do not find it, with the attacker's lists of words, dates and patterns.
const strongEnough = 3

// judge returns the kind of finding about a password, or "".
func judge(password, account string) string {
	lower := strings.ToLower(password)
	switch {
	case slices.Contains(tried(), lower):
		return "password_default"
	case fromName(lower, strings.ToLower(account)):
		return "password_from_name"
	}

	// A long password is judged by its beginning: it is not weaker than that.
	if len(password) > mostJudged {
		password = password[:mostJudged]
	}
	if zxcvbn.PasswordStrength(password, []string{account}).Score < strongEnough {
		return "password_weak"
	}
	return ""
}

// tried returns the passwords that attackers try first, in lower case: those of Asterisk's sample
// configs, of FreePBX's and Elastix's installations, and those that svcrack's users and bots send.
func tried() []string {
	return []string{
		"0000", "1111", "1234", "12345", "123456", "12345678", "123456789", "1234567890",
		"abc123", "admin", "amp109", "amp111", "asterisk", "changeme", "elastix", "elastix456",
		"freepbx", "letmein", "markpasswd", "moofoo", "mypassword", "mysecret", "p@ssw0rd",
		"pass", "passw0rd", "password", "password1", "password123", "phone", "qwerty", "sangoma",
		"secret", "sip", "supersecret", "test", "trixbox", "unsecurepassword", "user", "voip",
		"welcome",
	}
}

// fromName reports whether a password is made from the account's name: the name itself, repeated,
// reversed, or with at most four characters more. Both are in lower case.
func fromName(password, account string) bool {
	if account == "" {
		return false
	}

	reversed := []rune(account)
	slices.Reverse(reversed)
	rest := strings.ReplaceAll(password, account, "")
	switch {
	case password == string(reversed):
		return true
	case rest == password:
		return false
	}

	// lab-pw-1001 is guessed by a pattern, as a word and the number are.
	return len(rest) <= 4 || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz-_. ") == "" && len(rest) <= 10
}

// weakPIN reports whether the PIN of a mailbox is easy to guess by hand.
func weakPIN(pin, box string) bool {
	if len(pin) < 4 || fromName(pin, box) && len(pin) <= len(box)+1 {
		return true
	}
	if slices.Contains([]string{"2580", "1212", "1004", "2000", "6969", "1122", "1313"}, pin) {
		return true
	}

	// All digits equal, or one step up or down: 1111, 1234, 9876, 2468.
	step := int(pin[1]) - int(pin[0])
	for i := 2; i < len(pin); i++ {
		if int(pin[i])-int(pin[i-1]) != step {
			return false
		}
	}
	return true
}
