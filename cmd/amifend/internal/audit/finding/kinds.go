package finding

// Kind describes a kind of finding. The names are part of the JSON output and do not change.
type Kind struct {
	Name     string
	Depth    Depth
	Severity Severity
	Sure     Sure
	Title    string // what is wrong
	Why      string // what an attacker gains
	Do       string // what to write or to run
}

// kinds are all kinds: outside, daemon, config, version.
var kinds = []Kind{
	{
		"web_manager_answers", Outside, Critical, Certain,
		"the Manager Interface answers over HTTP",
		"whoever reaches the HTTP port can forge security events of any address; no client of the " +
			"AMI can detect that",
		"write webenabled = no into [general] of manager.conf, and restart Asterisk",
	},
	{
		"guests_served", Outside, High, Likely,
		"strangers without an account are served",
		"calls without a password: they cost money as soon as the context of guests reaches a trunk",
		"delete the endpoint anonymous, or write allowguest = no into sip.conf",
	},
	{
		"accounts_enumerable", Outside, High, Certain,
		"the PBX answers differently for accounts that exist",
		"an attacker lists the accounts first, and guesses passwords of those only",
		"write alwaysauthreject = yes into sip.conf; update Asterisk",
	},
	{
		"manager_user_rights", Outside, High, Certain,
		"amifend's manager user has more rights than it needs",
		"whoever gets its secret can do more than read security events; most classes of write show " +
			"passwords",
		"write read = security and write = (empty) into the user's section of manager.conf",
	},
	{
		"ami_everywhere", Outside, Medium, Certain,
		"the Manager Interface listens on all addresses",
		"its passwords can be guessed from everywhere, and unused connections lock out amifend",
		"write bindaddr = 127.0.0.1 into [general] of manager.conf, or the address of the network " +
			"that needs it",
	},
	{
		"ami_without_tls", Outside, Medium, Certain,
		"amifend reads events over a network without TLS",
		"whoever is on the path reads who logs in, and can write events of any address",
		"write tlsenable = yes and a certificate into manager.conf, and tls = true for the server " +
			"into amifend's config",
	},
	{
		"ami_plain_beside_tls", Outside, Medium, Certain,
		"the Manager Interface also answers without TLS",
		"a client that is not set up for TLS sends its secret where others can read it",
		"write bindaddr = 127.0.0.1 into [general] of manager.conf, and tlsbindaddr for other machines",
	},
	{
		"tls_old", Outside, Medium, Certain,
		"a TLS port accepts TLS 1.0 or 1.1",
		"these versions rely on MD5 and SHA-1: a recorded connection may be broken",
		"write method = tlsv1_2 for the transport in pjsip.conf; tlsdisablev1 = yes and " +
			"tlsdisablev11 = yes into http.conf and manager.conf",
	},
	{
		"certificate", Outside, Medium, Certain,
		"a certificate is expired, or expires within 14 days",
		"phones and amifend stop to connect, or are set to accept any certificate, which lets an " +
			"attacker stand between",
		"renew the certificate, and reload Asterisk",
	},
	{
		"http_status", Outside, Medium, Certain,
		"the page /httpstatus is served",
		"it shows paths and settings of the HTTP server to everybody; in old versions it can run " +
			"scripts in the browser of who looks at it (GHSA-v6hp-wh3r-cwxh)",
		"write enable_status = no into http.conf",
	},
	{
		"sip_without_tls", Outside, Low, Likely,
		"SIP answers without TLS only",
		"numbers, names and the digests of passwords are readable on the path; digests of weak " +
			"passwords are broken without another request",
		"add a transport with protocol = tls to pjsip.conf, and media_encryption = sdes for the phones",
	},
	{
		"version_shown", Outside, Low, Certain,
		"the PBX shows its exact version to everybody",
		"an attacker looks up which advisories it lacks",
		"write user_agent = PBX into [global] of pjsip.conf (useragent in sip.conf); keep the HTTP " +
			"port from strangers, or write servername = PBX into http.conf",
	},

	{
		"account_compromised", Seen, Critical, Likely,
		"an account was used by an attacker",
		"calls in its name, at your cost",
		"change the account's password, look for calls in the CDR, then: amifend explain ADDRESS",
	},
	{
		"account_attacked", Seen, Medium, Certain,
		"accounts are under attack now",
		"weak passwords fall within days",
		"see their passwords with amifend audit --pbx-config /etc/asterisk; restrict the accounts " +
			"to their networks by permit",
	},
	{
		"login_suspect", Seen, High, Possible,
		"a login looks like a guessed password",
		"calls in the account's name, at your cost",
		"ask the account's user, or change the password; amifend explain ADDRESS shows the attempts",
	},
	{
		"account_many_networks", Seen, Medium, Possible,
		"accounts are in use from many networks",
		"a password that many know, or that an attacker has as well",
		"find out who uses the account; give each phone an account of its own",
	},
	{
		"account_forges", Seen, Medium, Possible,
		"somebody who knows an account forges addresses",
		"the account is the attacker's own, or its password is known to them",
		"change the account's password; ask its user",
	},
	{
		"account_abroad", Seen, Medium, Possible,
		"an account logged in from a country that is not expected",
		"calls in the account's name, at your cost, if it was not its user",
		"ask the user; change the password, or add the country to [geo] expected_countries",
	},
	{
		"udp_only", Seen, Low, Certain,
		"accounts only ever log in over UDP",
		"anybody can forge the address of a packet, so such a login proves less, and attackers of " +
			"these accounts are cut off from the SIP ports only; numbers and digests are readable",
		"let the phones use TLS, or at least TCP",
	},
	{
		"no_login_by_tls", Seen, Low, Certain,
		"no phone logs in over TLS",
		"numbers, names and the digests of passwords are readable on the path; digests of weak " +
			"passwords are broken without another request",
		"add a transport with protocol = tls to pjsip.conf, and let the phones use it",
	},
	{
		"phone_old_password", Seen, Low, Likely,
		"phones try passwords that are wrong",
		"they hide real attacks among their failures, and may be banned",
		"set the password of the phone, or take it off the network",
	},
	{
		"events_hidden", Seen, High, Likely,
		"a router or proxy hides who attacks",
		"the PBX sees its address in place of the attacker's, so no ban hits the attacker",
		"keep the sources' addresses: no masquerading in front of the PBX",
	},
	{
		"requests_unseen", Seen, High, Likely,
		"the PBX refuses requests of which it raises no event",
		"whoever attacks in this way is neither seen nor banned",
		"amifend alerts names the ports; take auth_username out of endpoint_identifier_order, and " +
			"see amifend check",
	},
	{
		"ban_ineffective", Seen, High, Likely,
		"a ban does not stop its source",
		"an attacker goes on although amifend has banned them",
		"amifend explain ADDRESS names the reason, such as a proxy in front or another port",
	},
	{
		"server_unheard", Seen, High, Certain,
		"the daemon is not connected to this PBX",
		"attacks there are neither seen nor banned",
		"amifend status names the reason",
	},
	{
		"chan_sip_seen", Seen, Medium, Certain,
		"chan_sip serves phones, or attackers",
		"a sender chooses the address that its events name, so no evidence of chan_sip cuts off " +
			"everything; Asterisk 21 no longer has it",
		"move the accounts to PJSIP",
	},
	{
		"clock_wrong", Seen, Low, Certain,
		"the clocks of the PBX and of amifend differ",
		"logs of both cannot be compared, and calls cannot be assigned to logins",
		"set both clocks by NTP (timedatectl shows the state)",
	},

	{
		"password_none", Config, Critical, Certain,
		"accounts need no password",
		"anybody calls in their name, and registers in their place",
		"add type = auth with a random password to pjsip.conf, and auth = NAME to the endpoint " +
			"(secret in sip.conf and iax.conf)",
	},
	{
		"trunk_by_name", Config, High, Certain,
		"a trunk is also identified by its name",
		"anybody who writes the trunk's name into From calls as the trunk, from any address: its " +
			"endpoint has no password",
		"write identify_by = ip into the endpoint of the trunk",
	},
	{
		"password_default", Config, Critical, Certain,
		"accounts have a password that attackers try first",
		"it falls with the first attempts, before any ban",
		"set a random password of 16 characters: openssl rand -base64 12",
	},
	{
		"password_from_name", Config, Critical, Certain,
		"accounts have a password that is made from their name",
		"attackers try the number, and the number with a few letters, first",
		"set a random password of 16 characters: openssl rand -base64 12",
	},
	{
		"password_weak", Config, High, Likely,
		"accounts have a weak password",
		"many sources together guess it in time; whoever records one login breaks it at once",
		"set a random password of 16 characters: openssl rand -base64 12",
	},
	{
		"password_shared", Config, Medium, Certain,
		"accounts share one password",
		"who has one phone has them all",
		"give each account a password of its own",
	},
	{
		"voicemail_pin", Config, Medium, Certain,
		"mailboxes have a PIN that is easy to guess",
		"an attacker listens to the messages; with a call back from voicemail, calls at your cost",
		"set a PIN of six digits; minpassword = 6 in voicemail.conf keeps it so",
	},
	{
		"guests_reach_trunk", Config, Critical, Likely,
		"callers without an account may reach an outside line",
		"anybody makes calls at your cost",
		"delete the endpoint anonymous (allowguest = no in sip.conf), or give it a context without " +
			"Dial",
	},
	{
		"guests", Config, Medium, Certain,
		"callers without an account are let in",
		"such calls raise no security event, so nobody is banned for them; they cost money as soon " +
			"as their context reaches a trunk",
		"delete the endpoint anonymous; write allowguest = no into sip.conf",
	},
	{
		"auto_create_peers", Config, Critical, Certain,
		"accounts are made by their first request",
		"anybody registers without a password",
		"write autocreatepeer = no into sip.conf",
	},
	{
		"accounts_told_apart", Config, High, Certain,
		"alwaysauthreject is off",
		"the PBX answers differently for accounts that exist: an attacker lists them first",
		"write alwaysauthreject = yes into [general] of sip.conf",
	},
	{
		"identifier_order", Config, Low, Certain,
		"auth_username is in the identifier order",
		"Asterisk holds back events of unknown accounts until the fifth request in 5 s: slow scans " +
			"go unseen",
		"take auth_username out of endpoint_identifier_order, unless phones or trunks are found by it",
	},
	{
		"dialplan_injection", Config, High, Likely,
		"the dialplan dials what the caller wrote",
		"a pattern that ends in . or ! matches letters and &: 1&PJSIP/00900@trunk dials a second, " +
			"costly number",
		"dial ${FILTER(0-9,${EXTEN})} in place of ${EXTEN}, or use patterns of fixed length",
	},
	{
		"dialplan_shell", Config, High, Likely,
		"the dialplan runs programs with text of the caller",
		"a caller's name or number becomes part of a shell command",
		"use FILTER() for each variable of System(), TrySystem() and SHELL()",
	},
	{
		"transfer_by_strangers", Config, Medium, Certain,
		"the other end of a trunk, or a guest, may transfer calls",
		"it sends a running call on to a costly number, at your cost",
		"write allow_transfer = no into the endpoint (allowtransfer = no in sip.conf)",
	},
	{
		"endpoint_acl", Config, Low, Certain,
		"accounts may be used from everywhere",
		"one guessed password is enough, from any country",
		"write deny = 0.0.0.0/0 and a permit of the phones' networks into the endpoints, or into a " +
			"section with type = acl for all",
	},
	{
		"rtp_timeout", Config, Low, Certain,
		"calls without sound never end",
		"a call of an attacker whom a ban cut off is billed until somebody ends it",
		"write rtp_timeout = 60 and rtp_timeout_hold = 600 into the endpoints (rtptimeout in sip.conf)",
	},
	{
		"strict_rtp", Config, Medium, Certain,
		"strict RTP is off",
		"anybody who finds the port puts sound into a call",
		"write strictrtp = yes into rtp.conf",
	},
	{
		"maxcalls", Config, Low, Certain,
		"the number of calls is not limited",
		"a guessed account makes hundreds of costly calls at once",
		"write maxcalls into [options] of asterisk.conf: twice of what you need",
	},
	{
		"live_dangerously", Config, High, Certain,
		"live_dangerously is on",
		"AMI and ARI may run dialplan functions that read files and start programs",
		"write live_dangerously = no into [options] of asterisk.conf",
	},
	{
		"iax", Config, Medium, Certain,
		"IAX2 is in use",
		"chan_iax2 raises no security events: guessers are neither seen nor banned",
		"let only the other ends of your trunks reach 4569/udp, or use SIP and write " +
			"noload = chan_iax2.so into modules.conf",
	},
	{
		"chan_sip", Config, Medium, Certain,
		"chan_sip is in use",
		"a sender chooses the address that its events name, so no evidence of chan_sip cuts off " +
			"everything; Asterisk 21 no longer has it",
		"move the accounts to PJSIP, and write noload = chan_sip.so into modules.conf",
	},
	{
		"tls_none", Config, Low, Certain,
		"no SIP transport uses TLS",
		"numbers, names and the digests of passwords are readable on the path",
		"add a transport with protocol = tls and method = tlsv1_2 to pjsip.conf",
	},
	{
		"tls_weak", Config, Medium, Certain,
		"a TLS setting allows old versions or weak ciphers",
		"a recorded connection may be broken",
		"write method = tlsv1_2; delete the cipher line, so that OpenSSL's own list counts",
	},
	{
		"manager_everywhere", Config, Medium, Certain,
		"manager.conf opens the Manager Interface on all addresses",
		"its passwords can be guessed from everywhere, and unused connections lock out amifend",
		"write bindaddr = 127.0.0.1 into [general] of manager.conf",
	},
	{
		"manager_without_tls", Config, Medium, Certain,
		"manager.conf lets other machines in without TLS",
		"secrets and events are readable on the path, and events can be written there",
		"write bindaddr = 127.0.0.1, tlsenable = yes and tlsbindaddr into [general] of manager.conf",
	},
	{
		"manager_acl", Config, Medium, Certain,
		"manager users may log in from everywhere",
		"one guessed secret is enough",
		"write deny = 0.0.0.0/0.0.0.0 and permit = 127.0.0.1/255.255.255.255 into the user",
	},
	{
		"manager_rights", Config, Medium, Certain,
		"manager users may read secrets or run programs",
		"each of these classes of write shows passwords; command, system and originate run programs",
		"give the user only the classes that its program needs",
	},
	{
		"web_manager", Config, Critical, Certain,
		"webenabled is on in manager.conf",
		"whoever reaches the HTTP port can forge security events of any address; no client of the " +
			"AMI can detect that",
		"write webenabled = no, and restart Asterisk",
	},
	{
		"event_filter", Config, Medium, Certain,
		"an event filter hides attacks from amifend",
		"an attacker who writes matching text into an account name stays unseen",
		"delete the filter: amifend needs none",
	},
	{
		"call_events", Config, Low, Certain,
		"call records are sent to manager users",
		"every user with the class reads who calls whom",
		"write enabled = no into cdr_manager.conf and cel_manager.conf, unless a program needs them",
	},
	{
		"http_plain", Config, Low, Certain,
		"the HTTP server serves other machines without TLS",
		"passwords of ARI and of WebSocket phones are readable on the path",
		"write bindaddr = 127.0.0.1 and tlsenable = yes into http.conf",
	},
	{
		"http_status_on", Config, Medium, Certain,
		"enable_status is on in http.conf",
		"the page /httpstatus shows settings of the server to everybody (GHSA-v6hp-wh3r-cwxh)",
		"write enable_status = no",
	},
	{
		"file_rights", Config, Medium, Certain,
		"every user of the machine reads or writes config files",
		"a hacked web site on the same machine gets all passwords; one that may write gets root's " +
			"calls as well",
		"chown -R root:asterisk /etc/asterisk; chmod -R o-rwx /etc/asterisk",
	},

	{
		"advisories", Version, High, Certain,
		"security fixes are missing",
		"the advisories say how an attacker uses them",
		"update Asterisk",
	},
	{
		"branch_ended", Version, High, Certain,
		"this branch of Asterisk gets no security fixes any more",
		"new weaknesses stay open",
		"move to a branch that is maintained",
	},
	{
		"ask_distribution", Version, Low, Possible,
		"whether security fixes are missing, only your distribution knows",
		"distributions add fixes without a new version number of Asterisk",
		"see its list of fixes: apt changelog asterisk (Debian, Ubuntu), rpm -q --changelog asterisk; " +
			"look for the names above",
	},
}
