# Every sentence that kmi says, in English. ru.ftl has the same ids with the same arguments; a test holds them equal.
# Words from the daemon (states, reasons, outcomes) are found by `family-word`; a word without an entry stays as it is.

## Errors and remarks

error-line = error: { $what }
error-next = next: { $next }
warning-line = warning: { $what }

error-settings = the settings cannot be used:{ $list }
next-settings = correct them in the environment or the settings file; `kmid --check-config` shows where each comes from
next-other-socket = give --socket another, shorter path
error-not-running = kmid is not running (nobody listens at { $socket })
next-start = start it with `kmi proxy`
error-started-elsewhere = kmid was started, but does not listen at { $socket }: it uses another socket than kmi
next-doctor = `kmi doctor` shows what is wrong
error-closed = kmid closed the connection before it answered: it may have been stopped
next-logs = see what it says with `kmi proxy-logs --no-follow`
error-no-answer = kmid did not answer in time
error-connection = the connection to kmid broke: { $why }
error-protocol = kmid and kmi do not understand each other: { $why }
next-restart = upgrade the older of the two, then `kmi proxy-restart`
error-socket = the control socket { $socket } cannot be used: { $why }
next-socket = look at the rights of it and of the folders above it; it has to be yours, or name another place with KMI_SOCKET or --socket
error-other-user = the control socket { $socket } is served by another user (uid { $uid }), so nothing was said to it
next-other-user = name your own kmid's socket with KMI_SOCKET or --socket, or have that one removed and start yours with `kmi proxy`
starting = kmid is not running: starting { $program }
error-start = kmid did not start ({ $status })
next-start-said = correct what kmid names above, then try again
next-start-log = kmid did not say why; the end of { $path } may tell
ended-code = exit code { $code }
error-run = { $program } cannot be run: { $why }
error-no-kmid = kmid was found neither beside kmi nor on PATH
next-install = install it into the same folder as kmi, for example with `cargo install --locked --path daemon`
error-since = "{ $text }" is no time for --since
next-since = use 30s, 10m, 1h, 2d or an ISO time such as 2026-11-23T10:00
error-log-file = the log { $path } cannot be read: { $why }
error-stream-end = kmid ended the stream: { $why }
stream-dropped = { $count ->
    [one] { $count } entry was missed here: this terminal or program reads too slowly
   *[other] { $count } entries were missed here: this terminal or program reads too slowly
}
stream-end-stopping = it is stopping
stream-end-failed = a file could not be read; `kmi doctor` shows more
stream-end-cancelled = it was cancelled

skew-older-daemon = kmid { $theirs } is older than kmi { $ours }: upgrade kmid, then `kmi proxy-restart`
skew-older-client = kmi { $ours } is older than kmid { $theirs }: upgrade kmi
skew-upgrade-daemon = kmid { $theirs } is too old for kmi { $ours }
next-upgrade-daemon = upgrade kmid, stop the old one by its process id, and start the new one with `kmi proxy`
skew-upgrade-client = kmi { $ours } is too old for kmid { $theirs }
next-upgrade-client = upgrade kmi to the version of kmid

refused-because = { $what } ({ $said })
refused-other = kmid refused: { $said }
refused-retry = It may work { $moment }.
refused-policy = the settings do not allow it
refused-policy-next = put KMI_AUTO_ROTATE_ALLOWED=1 into kmid's settings file if you want kmid to switch keys by itself; it counts within seconds
refused-unknown-label = no key has this label
refused-unknown-label-next = `kmi health` lists the labels
refused-unknown-request = there is no trace of this request
refused-unknown-request-next = `kmi trace --no-follow --json` shows the newest requests with their ids
refused-invalid-params = a value is not understood
refused-no-keys = there are no keys
refused-no-keys-next = `kmi keys add` asks for one; `kmi doctor` shows which key directory is in use
refused-disabled = the key is switched off in its file
refused-disabled-next = remove KMI_KEY_DISABLED from its file
refused-none-serves = no key can serve
refused-none-serves-next = `kmi health` shows each key and until when it waits
refused-not-saved = the change could not be written to disk
refused-not-saved-next = look at free space and permissions of the state directory with `kmi doctor`
refused-too-many-connections = too many programs are connected to kmid
refused-too-many-connections-next = close some of them, for example `kmi trace` in other terminals
refused-stopping = kmid is stopping
refused-stopping-next = try again when it has ended
refused-restart-failed = the restart failed, and kmid serves as before
refused-restart-failed-next = correct what it names, then `kmi proxy-restart`; `kmi proxy-logs` says more
refused-unsupported = kmid cannot do that here
refused-managed = that is for what started kmid to do
refused-log-unreadable = a log could not be read
refused-log-unreadable-next = look at the permissions of the state directory with `kmi doctor`

## Times

time-now = now
time-in = in { $span }
time-ago = { $span } ago
time-moment = { $relative } ({ $clock })
span-s = { $s } s
span-m-s = { $m } min { $s } s
span-m = { $m } min
span-h = { $h } h
span-h-m = { $h } h { $m } min
span-d = { $d } d
span-d-h = { $d } d { $h } h
unit-ms = { $value } ms
unit-s = { $value } s
unit-b = { $value } B
unit-kb = { $value } KB
unit-mb = { $value } MB
unit-gb = { $value } GB
unit-tb = { $value } TB

## Words from the daemon

mode-live = live
mode-dry-run = dry-run
level-warn = warning:
level-error = error:
rotation-manual = manual
rotation-failover = failover
rotation-auto = auto
rotation-note-manual = only `kmi rotate` switches keys
rotation-note-failover = the active key serves until it cannot, then the next one
rotation-note-auto = round robin over the ready keys of the highest priority
rotation-note-auto-most-left = the ready key with the most left
rotation-note-auto-drain = first what would expire unused
state-ready = ready
state-warn = warn
state-cooling = cooling
state-blocked = blocked
state-disabled = disabled
reason-quota = quota used up
reason-exhausted = quota used up
reason-low-quota = under 20 % left
reason-rate-limited = too many requests
reason-invalid-key = the API refuses the key
reason-payment = membership refused
reason-banned = the account is banned
reason-balance = no balance
reason-half-open = the next request decides
rotate-reason-best = it has the most left
rotate-reason-tie = it is as good as the one before
rotate-reason-better-state = the one before is nearly used up or was refused
rotate-reason-fewer-errors = fewer of its requests failed
rotate-reason-next = it comes next, as good as any other that can serve
rotate-reason-only-one-serves = no other key can serve
rotate-reason-chosen = as you said
rotate-reason-already-best = no other key is better
rotate-reason-already-active = it was active already
rotate-reason-only-key = there is no other key
auto-reason-already-on = it was on already
auto-reason-already-off = it was off already
policy-round-robin = round robin
policy-most-left = most left first
policy-drain = what expires first
placement-new = new session
placement-stayed = the session's key
placement-moved = the session moves
placement-lent-out = the session is lent out
placement-no-session = no session
rank-active = it is the active key
rank-next = next in pool order
rank-session = the session's own key
rank-in-turn = in its turn
rank-most-left = most left
rank-expires-first = would expire unused first
rank-stays = no other is clearly better
rank-no-deadline = nothing expires soon
rank-too-little = too little to matter
rank-guarded = its 5-hour window is spared
rank-empty = a window is empty
rank-no-reading = not read yet
obstacle-tried = this request has tried it
obstacle-no-reading = no fresh reading
obstacle-probing = being tried by another request
obstacle-at-cap = as many in flight as its account allows
obstacle-ramping = starting slowly after a pause
obstacle-rate-limited = at its rate limit
obstacle-upstream-down = its upstream is down
obstacle-not-active = only the active key serves
outcome-completed = completed
outcome-client-left = the client left
outcome-cut-off = kmid ended first
outcome-upstream-broke = the upstream broke off
outcome-refused = refused by kmid
outcome-invalid-key = the API refuses the key
outcome-bad-model = no such model
outcome-payment = membership refused
outcome-quota-cycle = quota used up
outcome-quota-week = week used up
outcome-quota-month = month used up
outcome-quota-period = quota used up
outcome-concurrent-limit = too many at once
outcome-client-refused = the API refuses the client
outcome-banned = the account is banned
outcome-rate-limited = too many requests
outcome-overloaded = upstream overloaded
outcome-balance = no balance
outcome-tier-limit = the tier's day is used up
outcome-invalid-request = the API refuses the request
outcome-model-not-found = not in the key's tier
outcome-upstream-error = upstream failed
outcome-unknown = unknown error
refusal-foreign-host = refused by kmid: addressed by another host name than this machine's
refusal-web-page = refused by kmid: it came from a web page
refusal-tunnel = refused by kmid: it is no CONNECT proxy
refusal-unauthorized = refused by kmid: the proxy token is missing or wrong
refusal-slowed = refused by kmid: too many wrong tokens from there
refusal-not-found = refused by kmid: nothing is at this path
refusal-bad-path = refused by kmid: the path is not written plainly
refusal-client-body = the request body broke off
refusal-body-too-large = refused by kmid: the request body is too large
refusal-client-silent = the request body did not come
refusal-rate-limited = refused by kmid: KMI_PROXY_MAX_RPS or KMI_PROXY_MAX_RPM is reached
refusal-upstream-timeout = the upstream did not answer in time
refusal-upstream-unreachable = the upstream could not be reached
refusal-not-a-stream = the upstream answered no stream
refusal-upstream-down = the upstream is taken for down
refusal-no-keys = refused by kmid: it has no keys
refusal-keys-blocked = refused by kmid: no key can serve until a person looks at them
refusal-keys-busy = refused by kmid: the keys are busy for now
refusal-keys-exhausted = refused by kmid: no key has quota left
refusal-queue-full = refused by kmid: its queue is full (KMI_QUEUE_MAX)
refusal-ending = refused by kmid: it was about to end

## kmi status

status-mode = mode
status-dry-run-note = no request leaves this machine; KMI_DRY_RUN=0 goes live
status-proxy = proxy
status-running = running
status-stopped = not running
status-upstream = upstream
status-keys = keys
keys-total = { $count ->
    [0] none
    [one] { $count } key
   *[other] { $count } keys
}
keys-serving = { $count } can serve
keys-cooling = { $count } cooling
keys-blocked = { $count } blocked
keys-disabled = { $count } disabled
status-active = active key
status-add-key = `kmi keys add` asks for one
status-no-active-key = none
status-rotation = rotation
status-auto-not-allowed = auto is chosen, but not allowed by KMI_AUTO_ROTATE_ALLOWED
status-policy = policy
policy-strict = only keys with a good quota reading serve
policy-lenient = keys serve without a quota reading
policy-open = while there is no reading yet, all do
policy-closed = while there is no reading yet, none does
policy-payment = a refused payment blocks for { $span }
policy-payment-forever = a refused payment blocks until it is cleared
status-cache = quotas
cache-every = read every { $span }
cache-off = not read in the background
cache-last = last { $when }
cache-never = not read yet
cache-recheck = blocked keys rechecked every { $span }, { $max } at most
cache-recheck-off = blocked keys not rechecked
status-requests = requests
requests-total = { $count ->
    [one] { $count } request
   *[other] { $count } requests
}
requests-in-flight = { $count } in flight
requests-waiting = { $count } waiting for a key
requests-failed = { $count } failed
sessions-count = { $count ->
    [one] { $count } session
   *[other] { $count } sessions
}
sessions-cached = { $percent } % of prompt tokens from the cache
status-daemon = daemon
daemon-pid = pid { $pid }
daemon-up = up { $span }
status-needs-install = it was changed; `kmi service install` puts it in force, because the service holds the address
status-needs-restart = it was changed; `kmi proxy-restart` puts it in force
alerts-title = { $count ->
    [one] { $count } alert
   *[other] { $count } alerts
}

## kmi health

health-no-keys = There are no keys: `kmi keys add` asks for one and puts its file into the key directory.
health-active = active
health-configured = in the Kimi client's config
health-until = until { $clock }, { $relative }
health-no-reading = no quota reading yet
health-refresh-failed = the quota could not be read: { $why }
health-in-flight-cap = { $count } of { $cap } in flight
health-no-errors = no errors
health-errors = errors: { $list }
health-last-used = used { $when }
health-never-used = never used
health-serving = { $count } of { $total } keys can serve
health-first-reset = first window resets { $when }
health-left = left on average: { $list }
health-empty-at = the pool is empty { $when } at this pace
health-first-ready = first key ready { $when }
health-upstream-open = { $host } is down for every key: requests get its last answer at once, and kmid asks it again within seconds
health-upstream-gate = { $host } refuses a client program with every key: its requests get that answer at once, those of other programs pass
health-upstream-half-open = { $host } was down: the next request decides
window-left = { $percent } % left
window-resets = resets { $moment }
window-read = read { $when }
window-estimated = estimated, read { $when }
window-refused = refused { $when }
window-unread = reset { $when }, not read since
window-empty-at = empty { $when } at this pace
window-stale = stale
current-no-config = no Kimi client's config with a provider was found
current-no-config-next = `kmi kimi` runs the client through the proxy without one; `kmi health` shows all keys
current-unknown = the key in { $path } is none of kmid's
current-unknown-next = `kmi rotate` writes the active key there; `kmi health` shows all keys
current-unknown-kept-next = `kmi kimi` runs the client through the proxy; `kmi health` shows all keys
current-through-proxy = The Kimi client goes through kmid; the active key is:

## kmi rotate

rotate-switched = switched from { $from } to { $to }
rotate-first = switched to { $to }
rotate-stays = { $key } stays active
rotate-written = written: { $path }
rotate-auto-goes-on = automatic rotation is on, and requests go on by its policy: `kmi rotate off` makes them keep to the active key
auto-on = automatic rotation is on
auto-unchecked-tls = How requests spread over the keys was not checked: the proxy speaks TLS, and kmi speaks plain HTTP only.
auto-unchecked-token = How requests spread over the keys was not checked: kmid asks for a token that only its own environment has. With it in KMI_PROXY_TOKEN `kmi e2e` checks it.
auto-off = automatic rotation is off

## kmi proxy, proxy-stop, proxy-reload, proxy-restart

proxy-url = proxy
proxy-point = Point a client at it, one of:
proxy-dry-run = Dry-run: the answers are made up on this machine. KMI_DRY_RUN=0 and `kmi proxy-restart` go live.
proxy-bad-keys = None of the key files can be used, and every request gets 403: `kmi doctor` shows what is wrong with each.
proxy-no-keys = There are no keys yet, and every request gets 403: `kmi keys add` asks for one.
stop-ask = Stop kmid? [y/N]
stop-ask-in-flight = { $count ->
    [one] Stop kmid? { $count } request is in flight and will be waited for. [y/N]
   *[other] Stop kmid? { $count } requests are in flight and will be waited for. [y/N]
}
stop-yes = y yes
stop-kept = kmid keeps running
stop-nothing = kmid is not running (nobody listens at { $socket }), so there is nothing to stop
stop-draining = { $count ->
    [one] waiting for { $count } request in flight; `kmi proxy-stop -f` ends it at once
   *[other] waiting for { $count } requests in flight; `kmi proxy-stop -f` ends them at once
}
stop-done = kmid (pid { $pid }) has stopped
error-stop = kmid (pid { $pid }) accepted the stop, but has not ended yet
error-stop-next = `kmi proxy-stop -f` does not wait for requests in flight
reload-changed = In force now: { $names }
reload-same = Nothing has changed.
reload-keys = the keys
reload-waiting-install = After `kmi service install`: { $names }
reload-waiting = After `kmi proxy-restart`: { $names }
reload-refused = { $count ->
        [one] The old settings stay in force, because one is wrong:
       *[other] The old settings stay in force, because { $count } are wrong:
    }
restart-done = kmid runs again (pid { $pid }) at { $url }
restart-taken-over = kmid (pid { $pid }) has taken over at { $url }; the old one (pid { $old }) finishes its requests
restart-stops = this kmid cannot hand over; it is stopped and started, and new requests are refused meanwhile

## kmi trace, e2e

why-bad-id = "{ $text }" is no id of a request
why-bad-id-next = give the hexadecimal number of an answer's x-kmi-request-id; `kmi trace --no-follow --json` shows the newest
why-session = session { $session }
why-client = client { $name }
why-attempt = attempt { $number }: { $key }, { $met }
why-chosen = chosen: { $how }
why-no-attempt = no key was tried: kmid answered by itself
why-refused = no key could serve: { $how }
why-not-recorded = the trace does not say why this key was chosen
plan-next = the next new session gets { $key }
plan-none = no key can serve now
decision-more = { $count ->
    [one] and { $count } more
   *[other] and { $count } more
}
decision-otherwise = if { $chosen } could not have served, { $next } would have been chosen
decision-no-other = no other key could serve
decision-no-reading = not read yet
decision-windows = { $list } ({ $age } old)
decision-score = { $why } ({ $score })
decision-until = { $what }; ends { $moment }
trace-none = no requests
trace-tokens = in { $input } (cached { $cached }), out { $output }
trace-queued = waited { $time }
trace-attempts = attempts: { $list }
trace-id = id { $id }
error-terminal = the screen cannot be used: { $why }
trace-live = live
trace-connecting = connecting
trace-paused = { $count ->
    [0] paused
    [one] paused, { $count } new
   *[other] paused, { $count } new
}
trace-lost-not-running = kmid is gone; trying again each second
trace-lost-closed = kmid closed the connection; trying again
trace-lost-broken = no connection to kmid ({ $why }); trying again
trace-stale = as it was before the loss
trace-more = and { $count } more
trace-more-stuck = and { $count } more ({ $stuck } cannot serve)
trace-missed = { $count ->
    [one] { $count } request missed
   *[other] { $count } requests missed
}
trace-count = requests: { $shown } of { $kept }
trace-none-fits = no request passes the filters; c clears them
trace-filter-key = key { $key }
trace-statuses-good = status under 400
trace-statuses-refused = status 4xx
trace-statuses-broken = status 5xx or none
trace-hints = q quit  ? help  p pause  f key  s status  / text  Enter detail
trace-hints-typing = Enter keeps the text  Esc drops it
trace-help-title = Help
trace-help-quit = quit
trace-help-help = show or hide this
trace-help-pause = hold the list, or let it go on
trace-help-move = choose a request; scroll its detail
trace-help-page = the same by ten
trace-help-ends = to the newest, to the oldest
trace-help-open = all about the request, with its attempts
trace-help-back = back; then no selection; then no filters
trace-help-key = only one key: the next one, then all
trace-help-statuses = under 400, 4xx, 5xx or none, all
trace-help-text = only what holds a text
trace-help-clear = no filters
trace-detail-title = Request
trace-first-byte = first byte after { $time }
trace-bytes = { $up } up, { $down } down
trace-error-code = error { $code }
column-time = time
column-status = status
column-first-byte = first byte
column-took = took
column-tokens = in/cached/out
column-endpoint = request
column-in-flight = in flight
column-minute = last minute
column-state = state
column-left = left
column-why = why
column-key = key
column-requests = requests
column-answers = answers
column-share = share
column-errors = errors
column-input = in
column-cached = cached
column-output = out
column-model = model
column-client = client
column-day = day
column-hour = hour
column-rate = a minute
e2e-sent = { $sent } sent, { $answered } answered well by a key, judged by the last { $window }
e2e-failed = { $count } without an answer from a key: { $why }
e2e-failed-status = { $count } answered with status { $status }
e2e-failure-no-key = the answer names no key
e2e-failure-token = kmid does not take the token, so nothing more was sent; look at KMI_PROXY_TOKEN in this shell and in the settings file
e2e-failure-timeout = no answer in time
e2e-failure-connection = the connection failed
e2e-failure-protocol = the answer was not HTTP
e2e-progress = { $done } of { $total }
e2e-passed = PASS  even: confidence { $percent } % (at least { $least } % wanted)
e2e-uneven = FAIL  not even: confidence { $percent } % (at least { $least } % wanted)
e2e-no-keys = there are no keys: every request would be refused
e2e-token = kmid asks for a token that kmi does not see: it stands in { $setting } ({ $place })
e2e-token-next = put the token into KMI_PROXY_TOKEN of this shell's environment, then run it again
e2e-no-answer = FAIL  no request was answered well by a key
e2e-some-failed = FAIL  { $failed } of { $sent } requests failed
e2e-failed-endpoint = Nothing is at that path: --endpoint is one of the API below the proxy's base path, such as /models.
e2e-failed-next = `kmi trace --no-follow` shows what each request met.
e2e-not-auto = Requests spread over the keys only with automatic rotation; it is { $mode } now: `kmi rotate auto`.
e2e-plain = the proxy speaks plain HTTP, not HTTPS
e2e-plain-next = leave out --scheme
e2e-https = the proxy speaks TLS, and this version of kmi e2e speaks plain HTTP only
e2e-https-next = run it against a proxy without KMI_PROXY_TLS_CERT

## kmi usage

usage-none = nothing was used since { $since }
usage-since = since { $since }
usage-tokens = in { $input } (cached { $cached }), out { $output }
usage-no-key = (no key)
usage-no-model = (no model)
usage-no-client = (no name)
usage-other = (others)

## kmi kimi

kimi-not-found = no Kimi client was found on PATH
kimi-bin-unusable = KMI_KIMI_BIN names { $path }, which is no program
kimi-bin-unusable-next = correct KMI_KIMI_BIN, or unset it to take the kimi on PATH
kimi-stub = { $path } is kimi-cli { $version }, whose program only downloads an installer; it was not started
kimi-stub-next = install kimi-code (`npm install -g @moonshot-ai/kimi-code`) or `kimi-cli==1.50.0`, or name another program in KMI_KIMI_BIN
kimi-other-provider = kimi-cli is set to a provider of the type { $kind }, which takes no address from the environment; it was not started
kimi-other-provider-next = point its config at kmid with `kmi connect kimi-cli`, or choose a Kimi model as default_model in it
kimi-not-found-next = install one, for example `npm install -g @moonshot-ai/kimi-code`, or add its folder to PATH

## kmi connect, kmi disconnect

connect-dry-run = Nothing is written; this is what would be done:
connect-connected = { $client } points at kmid: { $path }
connect-already-connected = { $client } points at kmid already: { $path }
connect-disconnected = { $client } is as it was, byte for byte: { $path }
connect-taken-back = { $client } was edited meanwhile; only what kmi had written was taken back: { $path }
connect-not-connected = { $client } was not connected by kmi: { $path }
connect-left-alone = { $client } was left alone: { $path }
connect-line = line { $line }:
connect-original = original: { $path }
connect-forbidden = KMI_WRITE_CONFIG=0 keeps the clients' config files as they are
connect-forbidden-next = put KMI_WRITE_CONFIG=1 into kmid's settings file, which counts within seconds; `--dry-run` shows what would change
connect-token = the token stays out of sight: it is the value of { $setting } ({ $place }); the environment of these programs has to hold it as KMI_PROXY_TOKEN
connect-token-named = the token stays out of sight: it stands in { $setting } ({ $place }), behind its name; give it to these programs as KMI_PROXY_TOKEN in their environment
connect-no-token = any key will do: kmid puts the real one into each request
disconnect-none = no client was connected by kmi

## kmi doctor

check-settings = settings
check-sources = sources
check-state-dir = state directory
check-permissions = permissions
check-daemon = daemon
check-version = version
check-mode = mode
check-proxy = proxy
check-keys = keys
check-key-files = key files
check-quota = quotas
check-logs = logs
check-state = state
check-clients = Kimi clients
check-terms = terms of service
check-clear-blocklist = blocks cleared
check-recheck-keys = blocked keys rechecked
check-socket = socket
check-disk = disk
check-service = service
check-upstream = upstream
check-clock = clock
check-breaker = breaker
doctor-source-flag = command line
doctor-source-file = named file
doctor-source-environment = environment
doctor-source-found-file = settings file

doctor-fix = fix: { $fix }
doctor-all-ok = Everything is fine.
doctor-warnings = { $count ->
    [one] It works; { $count } warning.
   *[other] It works; { $count } warnings.
}
doctor-failures = { $fails } failed, { $warns } to look at.
doctor-stopped = { $count ->
    [one] kmid is not running; { $count } warning.
   *[other] kmid is not running; { $count } warnings.
}
doctor-terms = The coding benefit is for your own personal use with permitted agents. kmid rotates keys that one person owns; it forges no identity, and sharing or reselling keys is not what it is for. { $switching }
doctor-terms-off = Automatic switching is off until you set KMI_AUTO_ROTATE_ALLOWED=1.
doctor-terms-on = KMI_AUTO_ROTATE_ALLOWED=1 is set: kmid may switch keys by itself.
doctor-none = none
doctor-settings-file = from { $path } and the environment
doctor-settings-environment = from the environment
doctor-sources = settings file { $env }, keys { $auths }, state { $state }
doctor-settings-fix = correct the setting, then `kmi proxy-restart`
doctor-settings-stopped-fix = correct the value; `kmid --check-config` shows where it comes from
doctor-logs-fix = make room on the disk, or make the log writable
doctor-certificate-fix = put a good certificate and its key into the files of KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY; kmid reads them anew by itself
doctor-state-fix = `kmi proxy-logs --app --no-follow` shows more
doctor-key-files-fix = correct the file; it is read again by itself
doctor-key-directory-fix = `kmi keys add` makes it and puts a key there; if your keys are elsewhere, set KMI_AUTHS_DIR to that directory
doctor-not-running = not running
doctor-not-startable-fix = correct the settings first, then start it with `kmi proxy`
doctor-cannot-act = only a running kmid can recheck keys or clear blocks
doctor-running = kmid { $version }, pid { $pid }, up { $span }
doctor-same-version = kmi and kmid are both { $version }
doctor-version-skew = kmi is { $ours }, kmid is { $theirs }
doctor-dry-run = dry-run: no request leaves this machine
doctor-dry-run-fix = set KMI_DRY_RUN=0, then `kmi proxy-restart`, when you want real answers
doctor-no-state-dir = { $path } does not exist yet; kmid makes it
doctor-unreadable = { $path } cannot be read: { $why }
doctor-unreadable-fix = make the folder yours, or set KMI_STATE_DIR to another one
doctor-unwritable-fix = let your user write there, or set KMI_STATE_DIR to another folder
doctor-unwritable = nothing can be written to { $path }: { $why }
doctor-unmakeable = { $path } does not exist, and kmid could not make it: nothing can be written to { $above } ({ $why })
doctor-state-newer = { $path } was written by a newer kmid (version { $found } of the file; { $known } is known here), and this one does not start on it
doctor-state-newer-fix = install the newer kmid and kmi again, or set KMI_STATE_DIR to another folder
doctor-no-folder = { $path } is no folder
doctor-no-folder-fix = move the file away, or set KMI_STATE_DIR to another place
doctor-state-dir = { $path }, closed to others
doctor-open-mode = { $path } is open to others (mode { $mode })
doctor-no-keys = kmid has no keys
doctor-no-keys-fix = `kmi keys add` asks for a key and puts its file into the key directory
doctor-none-serves = no key can serve
doctor-none-serves-fix = `kmi health` shows each key and until when it waits
doctor-blocked = { $key } is blocked: { $reason }
doctor-blocked-fix = when its cause is gone: `kmi doctor --recheck-keys`, or `kmi doctor --clear-blocklist`
doctor-still-blocked = still blocked: { $list }
doctor-cleared = { $list }
doctor-cleared-none = none
doctor-quota-off-fix = set KMI_USAGE_CACHE_SECONDS to more than 0
doctor-quota-failed = { $key }: the quota could not be read: { $why }
doctor-quota-none = { $key }: no reading yet
doctor-quota-old = { $key }: the last reading is from { $when }
doctor-quota-fix = `kmi health --refresh` reads it now and shows what goes wrong
doctor-quota-fresh = all readings are fresh
doctor-proxy-ok = { $url } answers
doctor-proxy-tls = { $url } speaks TLS; not tried from here
doctor-proxy-other = something else than kmid answers at { $url }
doctor-proxy-other-fix = find out which program took the port, or set KMI_PROXY_LISTEN to another one
doctor-port-taken = another program, maybe a kmid with another socket, listens at { $listen }: kmid cannot start there
doctor-proxy-status = { $url }/models answered { $status }
doctor-proxy-status-fix = `kmi trace --no-follow` says why, and `kmi why` with the id at the end of its line says more
doctor-proxy-token-fix = kmid does not take kmi's token: set KMI_PROXY_TOKEN in this shell to a token of kmid's
doctor-proxy-wait-fix = the keys are busy (`kmi health` shows them), or kmid lets this address wait after several wrong tokens; look again in a minute
doctor-proxy-down = { $url } does not answer: { $why }
doctor-proxy-down-fix = kmid runs and its proxy does not: `kmi proxy-logs --no-follow` shows why, `kmi proxy-restart` opens it anew
doctor-client-proxy = { $path } points at kmid
doctor-client-token = { $path } points at kmid, but what it holds is none of the proxy's tokens: its requests get 401
doctor-client-token-fix = `kmi connect { $client }` writes the token that counts now
doctor-client-drift = { $path } was pointed at kmid by `kmi connect`, but points elsewhere now: its requests go past the proxy
doctor-client-drift-fix = `kmi connect { $client }` points it at kmid again; `kmi disconnect { $client }` takes back the rest of the connection
doctor-client-key = { $path } holds the key { $key }
doctor-client-problem = { $path } tells nothing: { $why }
doctor-client-problem-fix = `kmi kimi` runs the client through the proxy whatever its config says
doctor-client-other = { $path } holds none of kmid's keys
doctor-client-other-fix = `kmi rotate` writes the active key there; `kmi kimi` runs the client through the proxy
doctor-client-other-kept-fix = `kmi kimi` runs the client through the proxy whatever its config says
doctor-no-clients = no config of a Kimi client found
doctor-settings-set = set: { $list }
doctor-not-in-force = this shell sets { $list }, and the running kmid does not have that
doctor-file-either = { $beside } if kmid was started in that folder, else { $usual }
doctor-not-in-force-fix = put it into { $file }, then `kmi proxy-restart`: kmid sees the environment that it was started in
doctor-dry-run-skipped = skipped: in dry-run nothing leaves this machine
doctor-no-key-files = { $path }: no key files
doctor-key-folder = { $path }: { $count ->
    [one] { $count } key file; kmid reads it when it runs
   *[other] { $count } key files; kmid reads them when it runs
}
doctor-key-file-fix = make it readable for you, or remove it
doctor-socket-ok = kmid answers at { $path }
doctor-socket-held = the service manager listens at { $path } and starts kmid at the first request
doctor-socket-left = nobody listens at { $path }: a kmid that was killed left it behind, and the next one replaces it
doctor-socket-other = { $path } is no socket
doctor-disk = { $free } free for { $path }
doctor-no-service = not installed; commands start kmid when they need it
doctor-service = { $path } starts kmid with your session
doctor-service-not-enabled = { $path } is there, but does not start kmid with your session
doctor-service-settings-fix = correct them (look for FAIL and WARN here), then `kmi service start`
doctor-service-failed = the service failed ({ $result }) and is not tried again
doctor-service-failed-fix = `kmi service logs` shows why; `kmi service start` tries again
doctor-service-restarting = the service failed ({ $result }) and is tried again soon
doctor-service-restarting-fix = `kmi service logs` shows why
doctor-service-memory = the service may take { $written } MB of memory, but with KMI_PROXY_REPLAY_TOTAL_MB as it is kmid may need { $wanted } MB
doctor-service-stop = the service has { $written } s to stop, but with KMI_PROXY_DRAIN_SECONDS as it is kmid may need { $wanted } s
doctor-service-program = { $path } starts { $program }, which does not exist
doctor-service-program-fix = put kmid at { $program }, or write the service anew with `kmi service install`
doctor-upstream-older = this kmid cannot try the way to the upstreams
doctor-upstream-ok = { $host } is reachable, its certificate is good
doctor-upstream-unreachable = { $host } cannot be reached: { $why }
doctor-upstream-unreachable-fix = `curl -sSI https://{ $host }/` shows whether this machine reaches it; behind a proxy, set HTTPS_PROXY for kmid
doctor-upstream-tls = { $host }: no TLS: { $why }
doctor-upstream-tls-fix = `curl -sSIv https://{ $host }/` shows the certificate; look at the clock, and at SSL_CERT_FILE where a company's proxy signs
doctor-upstream-silent = { $host } does not answer properly: { $why }
doctor-clock-ok = differs from { $host } by { $span }
doctor-clock-ahead = this machine's clock is { $span } ahead of { $host }: cooldowns and resets come at wrong times
doctor-clock-behind = this machine's clock is { $span } behind { $host }: cooldowns and resets come at wrong times
doctor-breaker-open = { $host } is taken for down (its last answer: { $status }); one request at a time finds out when it is back
doctor-breaker-open-fix = it ends by itself; `kmi trace --no-follow` shows what was answered
doctor-breakers-closed = closed: no upstream is taken for down

## kmi report

report-written = The report is in { $path }. Keys, tokens, e-mails and prompts are left out; read it before you attach it.
report-unwritable = { $path } cannot be written: { $why }
report-unwritable-next = name another file with --output; one that exists is never overwritten

## kmi keys

keys-column-label = key
keys-column-state = state
keys-column-left = left
keys-column-priority = priority
keys-column-key = ends with
keys-column-file = file
keys-none = there are no keys; `kmi keys add` puts one in
keys-none-next = `kmi keys add` puts a key in
keys-argument = a key is not taken from an argument: other programs and the shell's history would see it
keys-argument-next = `kmi keys add` asks for it without showing it, or reads it from standard input
keys-unknown = no key has the label { $label }
keys-unknown-next = the labels are: { $list }
keys-no-file = the key's file { $path } is not there
keys-unwritten = { $path } cannot be changed: { $why }
keys-unread = the key cannot be read: { $why }
keys-keyring-unsupported = this system has no keyring that kmi can use
keys-keyring-no-tool = { $tool } is not installed, and the keyring is asked through it (Debian: apt install libsecret-tools)
keys-keyring-unreachable = the keyring cannot be reached ({ $why }); it belongs to a desktop session and is started and unlocked there
keys-keyring-silent = the keyring does not answer; is it locked?
keys-keyring-refused = the keyring did not take the key
keys-keyring-next = without --keyring the key is kept in a file that only you can read
keys-ask-key = API key (it is not shown):
keys-ask-label = label for it [{ $proposal }]:
keys-bad-empty = no key was given
keys-bad-too-long = the key is longer than 512 characters; that is no API key
keys-bad-characters = the key has blanks, quotes, braces, control or non-ASCII characters; copy it once more, and only one
keys-bad-config = this is a whole config file in JSON or TOML, not a key
keys-config-next = put the file itself into the key directory { $dir }, where kmid reads the keys in it, or give the key alone
keys-bad-setting = these are lines NAME=value, and none of them is KMI_API_KEY=; give the key alone, or a key file
keys-bad-line = this key file has a line that is not NAME=value
keys-bad-in-keyring = this key file names a key in the keyring beside KMI_API_KEY; only one of them can count
keys-bad-priority = KMI_KEY_PRIORITY of this key file is no whole number
keys-bad-switch = KMI_KEY_DISABLED of this key file says neither yes nor no
keys-bad-email = the e-mail of this key file has quotes, backslashes or control characters, which kmi does not write
keys-file-next = correct that, or copy the file as it is into the key directory instead (`kmi doctor` names it)
keys-left-out = these names of the file are none that a key file has, and were not taken over: { $list }
keys-bad-label = this is no label: use up to 64 characters without quotes, backslashes and control characters, and not the key
keys-bad-url = the base URL is refused: { $why }
keys-same-key = this key is there already, as { $label } ({ $source })
keys-bad-url-next = give the address of an API, such as https://api.kimi.ai/coding/v1
keys-same-label-next = choose another name with --label; `kmi keys` lists those in use
keys-same-label = another key has the label { $label } ({ $source })
keys-not-taken = kmid does not take { $path }, so it was removed again: { $why }
keys-add-unseen = { $path } is written, but kmid has not taken it within 5 s
keys-added = { $label } is in the pool: { $path }
keys-check-good = the API knows it
keys-check-refused = the API refuses it ({ $said })
keys-check-unclear = it could not be checked ({ $said }); `kmi keys test` tries again
keys-check-dry-run = not checked: this is a dry run, and no request leaves this machine
keys-check-not-running = not checked: kmid is not running; it takes the key when it starts
keys-check-disabled = not checked: its file switches it off; `kmi keys enable { $label }` switches it on
keys-refused-ask = remove it again? [Y/n]
keys-refused-removed = it was removed again; keys of api.kimi.com and api.kimi.ai are not the same (--base-url), and --keep keeps it anyway
keys-refused-kept = it stays all the same
keys-remove-ask = take { $label } ({ $source }) out of the pool? [y/N]
keys-remove-kept = it stays
keys-remove-unasked = nobody is there to ask: give -y to remove without asking
keys-removed = { $label } is out of the pool; its file is kept as { $backup }
keys-twin = { $source } holds the same key, which counts now
keys-switch-foreign = { $path } is a client's config, which kmi does not edit for this
keys-switch-unclear = { $path } cannot be edited safely
keys-switch-next = set KMI_KEY_DISABLED by hand, or move the key into a file of its own: `kmi keys remove { $label }`, then `kmi keys add`
keys-switched-off = { $label } is switched off
keys-switched-off-already = { $label } was switched off already
keys-switched-on = { $label } is switched on
keys-switched-on-already = { $label } was switched on already
keys-unseen = the file is changed, but kmid has not seen it within 5 s; `kmi doctor` may tell why
keys-test-good = answers
keys-test-bad = does not answer well
keys-test-dry-run = dry-run: the simulator inside kmid was asked, not the API
man-written = { $count ->
    [one] { $count } page written to { $dir }
   *[other] { $count } pages written to { $dir }
}
man-try = read one with `man { $dir }/kmi.1`
man-unwritten-next = name a folder that you may write to
man-unwritten = the pages cannot be written to { $dir }: { $why }

## kmi service

service-row = service
service-row-file = file
service-row-process = process
service-row-status = it says
service-row-bad-settings = its settings cannot be used: `kmi doctor` shows which
service-activity-running = running
service-activity-starting = starting
service-activity-stopping = stopping
service-activity-waiting = waits for the first request
service-activity-restarting = failed, and is tried again soon
service-activity-stopped = stopped
service-activity-failed = failed
service-activity-unknown = the manager does not say
service-enabled = starts with your session
service-not-enabled = does not start with your session
service-restarts = { $count ->
    [one] restarted { $count } time after a failure
   *[other] restarted { $count } times after a failure
}
service-result = ended with { $result }
service-other-daemon = another kmid answers (pid { $pid }), which the service did not start
service-wrote = wrote { $path }
service-kept = kept what stood there as { $path }
service-ran = ran { $command }
service-removed = removed { $path }
service-would-write = would write { $path }:
service-would-remove = would remove { $path }
service-would-run = would run { $command }
service-installed = kmid is a service now: it serves { $url } (pid { $pid }) and starts with your session
service-linger = it ends when you log out; to keep it running then: `loginctl enable-linger`
service-undo = to undo this: `kmi service uninstall`
service-uninstalled = kmid is no service any more; keys, settings and logs are where they were
service-switched-off = kmid does not start with your session any more, and no request starts it; `kmi service start` does, until you log out
service-shared = { $path } is there for all users of this machine and stays; it goes with the package that it came with
service-enabled-for-all = it still starts with your session, because it is switched on for all users: `sudo systemctl --global disable kmid.service kmid.socket kmid-control.socket` ends that
service-serves = the service serves { $url } (pid { $pid })
service-stopped = the service is stopped, and no request starts it; `kmi service start` does, and so does your next session
service-starting = kmid is not running: starting its service
service-asleep = kmid is not running; its service starts it at the first request
service-bad-settings = kmid does not start as a service, because its settings cannot be used
service-bad-settings-next = `kmi doctor` shows which; correct them, then `kmi service start`
service-fails = kmid, started as a service, ended before it answered ({ $result })
service-elsewhere = the service listens on { $listens }, but KMI_PROXY_LISTEN is { $wanted }: kmid would not start there
service-elsewhere-next = `kmi service install` writes the service anew and restarts it
service-not-ready = kmid does not answer { $seconds } s after its service was started
service-listen = KMI_PROXY_LISTEN is { $listen }: a service needs an IP address or localhost, and a fixed port
service-listen-next = set it in { $file }, for example to 127.0.0.1:54123
service-address = { $address } cannot be listened on: { $why }
service-address-next = end the program that listens there, or choose another KMI_PROXY_LISTEN in { $file }
service-step-failed = `{ $command }` failed: { $why }
service-step-next = `kmi service logs` and `kmi service status` show why
service-still-there = it is still there after { $seconds } s
service-missing = kmid is not installed as a service
service-missing-next = install it with `kmi service install`
service-other = the service of { $file } does not serve { $socket }
service-changed = somebody changed { $list }
service-changed-next = with --yes kmi goes on and keeps these files beside them as .{ $kept }
service-ask-replace = Somebody changed { $list }. Replace, and keep the old text as .{ $kept }? [y/N]
service-ask-remove = Somebody changed { $list }. Remove, and keep the text as .{ $kept }? [y/N]
service-left = left as it was
service-another = kmid is a service already, of { $there }; one of { $wanted } would take its place
service-another-ask = { $what }. Go on? [y/N]
service-another-next = there is one service a person; with --yes kmi goes on all the same
service-makes-way = kmid (pid { $pid }) runs already, not as a service: it is stopped first
service-unwritten = { $path } cannot be written: { $why }
service-path = this path cannot stand in a service file: { $path }
service-left-behind = { $count ->
    [one] this shell sets { $list }, and a service does not see it; put it into { $file } if it has to count
   *[other] this shell sets { $list }, and a service does not see them; put them into { $file } if they have to count
}
service-left-outside = { $count ->
    [one] this shell sets { $list }, and a service does not see it; a settings file cannot hold it either
   *[other] this shell sets { $list }, and a service does not see them; a settings file cannot hold them either
}
service-left-outside-systemd = if it has to count: `systemctl --user edit kmid`, with [Service] and Environment={ $name }=..., then `systemctl --user restart kmid`
service-left-outside-launchd = if it has to count: put it into EnvironmentVariables in { $file }, then log out and in again
service-left-outside-task-scheduler = if it has to count: `setx { $name } ...`, then log out and in again
service-no-home = there is no home directory to install a service in; set HOME
service-no-logs = the service manager keeps no log of kmid here
service-unreachable-no-systemd = no service manager can be reached: this system was not started by systemd (a container?)
service-unreachable-no-systemd-next = kmid works without: `kmi` starts it when it is needed
service-unreachable-wsl = no service manager can be reached: this WSL runs without systemd
service-unreachable-wsl-next = put [boot] and systemd=true into /etc/wsl.conf, run `wsl.exe --shutdown`, and try again
service-unreachable-no-session = systemd runs, but not for this user: there is no session
service-unreachable-no-session-next = log in on the machine itself or by ssh, or run `loginctl enable-linger` as root for this user
service-unreachable-no-program = the program of the service manager is not on PATH
