# Всё, что kmi говорит, по-русски. В en.ftl те же идентификаторы с теми же аргументами; за этим следит тест.

## Ошибки и замечания

error-line = ошибка: { $what }
error-next = что делать: { $next }
warning-line = внимание: { $what }

error-settings = с такими настройками работать нельзя:{ $list }
next-settings = исправьте их в окружении или в файле настроек; `kmid --check-config` покажет, откуда взято каждое значение
next-other-socket = укажите в --socket другой путь, короче
error-not-running = kmid не запущен (на { $socket } никто не отвечает)
next-start = запустите его: `kmi proxy`
error-started-elsewhere = kmid запущен, но не слушает { $socket }: у него и у kmi разные сокеты
next-doctor = `kmi doctor` покажет, что не так
error-closed = kmid закрыл соединение, не ответив: возможно, его остановили
next-logs = посмотрите, что он пишет: `kmi proxy-logs --no-follow`
error-no-answer = kmid не ответил вовремя
error-connection = соединение с kmid оборвалось: { $why }
error-protocol = kmid и kmi не понимают друг друга: { $why }
next-restart = обновите тот из двух, что старше, затем `kmi proxy-restart`
error-socket = управляющий сокет { $socket } недоступен: { $why }
next-socket = проверьте права на него и на папки выше: он должен быть вашим; или укажите другое место в KMI_SOCKET или --socket
error-other-user = управляющий сокет { $socket } обслуживает другой пользователь (uid { $uid }), поэтому ему ничего не передано
next-other-user = укажите сокет своего kmid в KMI_SOCKET или --socket либо добейтесь удаления этого и запустите свой: `kmi proxy`
starting = kmid не запущен: запускаю { $program }
error-start = kmid не запустился ({ $status })
next-start-said = исправьте то, что kmid назвал выше, и повторите
next-start-log = kmid не сказал почему; причина может быть в конце { $path }
ended-code = код завершения { $code }
error-run = не удаётся запустить { $program }: { $why }
error-no-kmid = kmid не найден ни рядом с kmi, ни в PATH
next-install = установите его в ту же папку, что и kmi, например `cargo install --locked --path daemon`
error-since = «{ $text }» не годится для --since
next-since = укажите 30s, 10m, 1h, 2d или время ISO, например 2026-11-23T10:00
error-log-file = журнал { $path } не читается: { $why }
error-stream-end = kmid прервал поток: { $why }
stream-dropped = { $count ->
    [one] здесь пропущена { $count } запись: терминал или программа читает слишком медленно
    [few] здесь пропущены { $count } записи: терминал или программа читает слишком медленно
   *[other] здесь пропущено { $count } записей: терминал или программа читает слишком медленно
}
stream-end-stopping = он останавливается
stream-end-failed = файл не читается; подробнее покажет `kmi doctor`
stream-end-cancelled = поток отменён

skew-older-daemon = kmid { $theirs } старше, чем kmi { $ours }: обновите kmid, затем `kmi proxy-restart`
skew-older-client = kmi { $ours } старше, чем kmid { $theirs }: обновите kmi
skew-upgrade-daemon = kmid { $theirs } слишком стар для kmi { $ours }
next-upgrade-daemon = обновите kmid, остановите старый по номеру процесса и запустите новый: `kmi proxy`
skew-upgrade-client = kmi { $ours } слишком стар для kmid { $theirs }
next-upgrade-client = обновите kmi до версии kmid

refused-because = { $what } ({ $said })
refused-other = kmid отказал: { $said }
refused-retry = Может получиться { $moment }.
refused-policy = настройки этого не разрешают
refused-policy-next = если kmid должен сам менять ключи, впишите KMI_AUTO_ROTATE_ALLOWED=1 в файл настроек kmid; это подействует за секунды
refused-unknown-label = ключа с такой меткой нет
refused-unknown-label-next = метки ключей покажет `kmi health`
refused-unknown-request = следов этого запроса нет
refused-unknown-request-next = `kmi trace --no-follow --json` показывает последние запросы и их номера
refused-invalid-params = значение не понято
refused-no-keys = ключей нет
refused-no-keys-next = `kmi keys add` спросит ключ; какая папка ключей используется, покажет `kmi doctor`
refused-disabled = ключ выключен в своём файле
refused-disabled-next = уберите KMI_KEY_DISABLED из его файла
refused-none-serves = ни один ключ не может работать
refused-none-serves-next = `kmi health` покажет каждый ключ и до каких пор он на паузе
refused-not-saved = изменение не удалось записать на диск
refused-not-saved-next = проверьте свободное место и права на папку состояния: `kmi doctor`
refused-too-many-connections = к kmid подключено слишком много программ
refused-too-many-connections-next = закройте часть из них, например `kmi trace` в других терминалах
refused-stopping = kmid останавливается
refused-stopping-next = повторите, когда он завершится
refused-restart-failed = перезапуск не удался, kmid работает как прежде
refused-restart-failed-next = исправьте то, что названо, затем `kmi proxy-restart`; подробности: `kmi proxy-logs`
refused-unsupported = здесь kmid этого не умеет
refused-managed = это делает не kmi, а тот, кто запустил kmid
refused-log-unreadable = журнал не читается
refused-log-unreadable-next = проверьте права на папку состояния: `kmi doctor`

## Время

time-now = сейчас
time-in = через { $span }
time-ago = { $span } назад
time-moment = { $relative } ({ $clock })
span-s = { $s } с
span-m-s = { $m } мин { $s } с
span-m = { $m } мин
span-h = { $h } ч
span-h-m = { $h } ч { $m } мин
span-d = { $d } дн
span-d-h = { $d } дн { $h } ч
unit-ms = { $value } мс
unit-s = { $value } с
unit-b = { $value } Б
unit-kb = { $value } КБ
unit-mb = { $value } МБ
unit-gb = { $value } ГБ
unit-tb = { $value } ТБ

## Слова от kmid

mode-live = рабочий
mode-dry-run = пробный
level-warn = внимание:
level-error = ошибка:
rotation-manual = ручная
rotation-failover = запасная
rotation-auto = автоматическая
rotation-note-manual = ключ меняет только `kmi rotate`
rotation-note-failover = активный ключ работает, пока может, потом следующий
rotation-note-auto = готовые ключи высшего приоритета по кругу
rotation-note-auto-most-left = готовый ключ, у которого осталось больше всего
rotation-note-auto-drain = сначала то, что сгорело бы зря
state-ready = готов
state-warn = на исходе
state-cooling = на паузе
state-blocked = заблокирован
state-disabled = выключен
reason-quota = квота исчерпана
reason-exhausted = квота исчерпана
reason-low-quota = осталось меньше 20 %
reason-rate-limited = слишком много запросов
reason-invalid-key = API не принимает ключ
reason-payment = отказ по подписке
reason-banned = учётная запись заблокирована
reason-balance = нет средств
reason-half-open = решит следующий запрос
rotate-reason-best = у него осталось больше всего
rotate-reason-tie = он не хуже прежнего
rotate-reason-better-state = прежний почти исчерпан или получил отказ
rotate-reason-fewer-errors = у него меньше неудачных запросов
rotate-reason-next = он следующий и не хуже остальных, что могут работать
rotate-reason-only-one-serves = больше ни один ключ не может работать
rotate-reason-chosen = как вы указали
rotate-reason-already-best = лучшего ключа нет
rotate-reason-already-active = он и так активен
rotate-reason-only-key = других ключей нет
auto-reason-already-on = она уже включена
auto-reason-already-off = она уже выключена
policy-round-robin = по кругу
policy-most-left = сначала где больше осталось
policy-drain = сначала что раньше сгорит
placement-new = новый сеанс
placement-stayed = ключ этого сеанса
placement-moved = сеанс переходит
placement-lent-out = сеанс временно на другом ключе
placement-no-session = без сеанса
rank-active = это активный ключ
rank-next = следующий по порядку
rank-session = ключ этого сеанса
rank-in-turn = его очередь
rank-most-left = больше всего осталось
rank-expires-first = сгорит раньше других
rank-stays = явно лучшего нет
rank-no-deadline = ничего скоро не сгорит
rank-too-little = слишком мало, чтобы менять
rank-guarded = его 5-часовое окно бережём
rank-empty = окно пусто
rank-no-reading = ещё не прочитан
obstacle-tried = этот запрос его уже пробовал
obstacle-no-reading = нет свежих данных
obstacle-probing = его проверяет другой запрос
obstacle-at-cap = в работе уже сколько можно
obstacle-ramping = разгоняется после паузы
obstacle-rate-limited = достигнут предел частоты
obstacle-upstream-down = его сервер недоступен
obstacle-not-active = работает только активный ключ
outcome-completed = выполнен
outcome-client-left = клиент ушёл
outcome-cut-off = kmid завершился раньше
outcome-upstream-broke = API оборвал ответ
outcome-refused = отказ kmid
outcome-invalid-key = API не принимает ключ
outcome-bad-model = нет такой модели
outcome-payment = отказ по подписке
outcome-quota-cycle = квота исчерпана
outcome-quota-week = неделя исчерпана
outcome-quota-month = месяц исчерпан
outcome-quota-period = квота исчерпана
outcome-concurrent-limit = слишком много сразу
outcome-client-refused = API не принимает клиента
outcome-banned = учётная запись заблокирована
outcome-rate-limited = слишком много запросов
outcome-overloaded = API перегружен
outcome-balance = нет средств
outcome-tier-limit = дневной предел тарифа исчерпан
outcome-invalid-request = API не принимает запрос
outcome-model-not-found = нет в тарифе ключа
outcome-upstream-error = сбой API
outcome-unknown = неизвестная ошибка
refusal-foreign-host = отказ kmid: чужое имя узла в запросе
refusal-web-page = отказ kmid: запрос с веб-страницы
refusal-tunnel = отказ kmid: это не прокси для CONNECT
refusal-unauthorized = отказ kmid: токена прокси нет или он неверен
refusal-slowed = отказ kmid: оттуда слишком много неверных токенов
refusal-not-found = отказ kmid: по этому пути ничего нет
refusal-bad-path = отказ kmid: в пути есть .. или //
refusal-client-body = тело запроса оборвалось
refusal-body-too-large = отказ kmid: тело запроса слишком велико
refusal-client-silent = тело запроса не пришло
refusal-rate-limited = отказ kmid: достигнут KMI_PROXY_MAX_RPS или KMI_PROXY_MAX_RPM
refusal-upstream-timeout = API не ответил вовремя
refusal-upstream-unreachable = API недоступен
refusal-not-a-stream = API ответил не потоком
refusal-upstream-down = API считается неработающим
refusal-no-keys = отказ kmid: у него нет ключей
refusal-keys-blocked = отказ kmid: ключи не могут работать, пока на них не посмотрит человек
refusal-keys-busy = отказ kmid: ключи сейчас заняты
refusal-keys-exhausted = отказ kmid: квота ключей исчерпана
refusal-queue-full = отказ kmid: очередь полна (KMI_QUEUE_MAX)
refusal-ending = отказ kmid: он завершался

## kmi status

status-mode = режим
status-dry-run-note = запросы не покидают эту машину; для настоящей работы KMI_DRY_RUN=0
status-proxy = прокси
status-running = работает
status-stopped = не работает
status-upstream = API
status-keys = ключи
keys-total = { $count ->
    [0] нет
    [one] { $count } ключ
    [few] { $count } ключа
   *[other] { $count } ключей
}
keys-serving = { $count ->
    [one] { $count } может работать
   *[other] { $count } могут работать
}
keys-cooling = { $count ->
    [one] { $count } на паузе
   *[other] { $count } на паузе
}
keys-blocked = { $count ->
    [one] { $count } заблокирован
   *[other] { $count } заблокировано
}
keys-disabled = { $count ->
    [one] { $count } выключен
   *[other] { $count } выключено
}
status-active = активный ключ
status-add-key = ключ спросит `kmi keys add`
status-no-active-key = нет
status-rotation = ротация
status-auto-not-allowed = выбрана автоматическая, но KMI_AUTO_ROTATE_ALLOWED её не разрешает
status-policy = правила
policy-strict = работают только ключи с хорошими данными о квоте
policy-lenient = ключи работают и без данных о квоте
policy-open = пока данных нет, работают все
policy-closed = пока данных нет, не работает ни один
policy-payment = отказ из-за оплаты блокирует на { $span }
policy-payment-forever = отказ из-за оплаты блокирует, пока не снимут вручную
status-cache = квоты
cache-every = читаются каждые { $span }
cache-off = в фоне не читаются
cache-last = последний раз { $when }
cache-never = ещё не прочитаны
cache-recheck = заблокированные ключи проверяются раз в { $span }, не больше { $max }
cache-recheck-off = заблокированные ключи не проверяются
status-requests = запросы
requests-total = { $count ->
    [one] { $count } запрос
    [few] { $count } запроса
   *[other] { $count } запросов
}
requests-in-flight = { $count } в работе
requests-waiting = { $count ->
    [one] { $count } ждёт ключа
   *[other] { $count } ждут ключа
}
requests-failed = { $count } с ошибкой
sessions-count = { $count ->
    [one] { $count } сеанс
    [few] { $count } сеанса
   *[other] { $count } сеансов
}
sessions-cached = { $percent } % токенов запросов из кэша
status-daemon = процесс
daemon-pid = pid { $pid }
daemon-up = работает { $span }
status-needs-install = изменена; начнёт действовать после `kmi service install`, потому что адрес держит служба
status-needs-restart = изменена; начнёт действовать после `kmi proxy-restart`
alerts-title = { $count ->
    [one] { $count } предупреждение
    [few] { $count } предупреждения
   *[other] { $count } предупреждений
}

## kmi health

health-no-keys = Ключей нет: `kmi keys add` спросит ключ и положит его файл в папку ключей.
health-active = активный
health-configured = в настройках клиента Kimi
health-until = до { $clock }, { $relative }
health-no-reading = данных о квоте ещё нет
health-refresh-failed = квоту не удалось прочитать: { $why }
health-in-flight-cap = { $count } из { $cap } в работе
health-no-errors = без ошибок
health-errors = ошибки: { $list }
health-last-used = использован { $when }
health-never-used = не использовался
health-serving = { $count ->
    [one] может работать { $count } из { $total }
   *[other] могут работать { $count } из { $total }
}
health-first-reset = первое окно обновится { $when }
health-left = осталось в среднем: { $list }
health-empty-at = при таком темпе пул опустеет { $when }
health-first-ready = первый ключ будет готов { $when }
health-upstream-open = { $host } не работает ни для одного ключа: запросы сразу получают его последний ответ, kmid спросит его снова через несколько секунд
health-upstream-gate = { $host } не пускает одну из клиентских программ ни с одним ключом: её запросы сразу получают этот ответ, запросы других программ проходят
health-upstream-half-open = { $host } не работал: решит следующий запрос
window-left = осталось { $percent } %
window-resets = обновится { $moment }
window-read = данные: { $when }
window-estimated = оценка, данные: { $when }
window-refused = отказ: { $when }
window-unread = обновилось { $when }, данных ещё нет
window-empty-at = при таком расходе кончится { $when }
window-stale = устарело
current-no-config = настройки клиента Kimi с провайдером не найдены
current-no-config-next = `kmi kimi` запускает клиента через прокси и без них; все ключи покажет `kmi health`
current-unknown = ключа из { $path } у kmid нет
current-unknown-next = `kmi rotate` запишет туда активный ключ; все ключи покажет `kmi health`
current-unknown-kept-next = `kmi kimi` запускает клиента через прокси; все ключи покажет `kmi health`
current-through-proxy = Клиент Kimi работает через kmid; активный ключ:

## kmi rotate

rotate-switched = { $from } сменён на { $to }
rotate-first = выбран { $to }
rotate-stays = { $key } остаётся активным
rotate-written = записано: { $path }
rotate-auto-goes-on = автоматическая ротация включена, и ключи для запросов по-прежнему выбирает она: чтобы работал только активный, нужно `kmi rotate off`
auto-on = автоматическая ротация включена
auto-unchecked-tls = Как запросы распределяются по ключам, не проверено: прокси говорит по TLS, а kmi — только по простому HTTP.
auto-unchecked-token = Как запросы распределяются по ключам, не проверено: kmid требует токен, который есть только в его собственном окружении. С ним в KMI_PROXY_TOKEN это проверит `kmi e2e`.
auto-off = автоматическая ротация выключена

## kmi proxy, proxy-stop, proxy-reload, proxy-restart

proxy-url = прокси
proxy-point = Направьте на него клиента, например так:
proxy-dry-run = Пробный режим: ответы придумываются на этой машине. Для настоящей работы: KMI_DRY_RUN=0 и `kmi proxy-restart`.
proxy-bad-keys = Ни один из файлов ключей не годится, и на каждый запрос будет ответ 403: что не так с каждым, покажет `kmi doctor`.
proxy-no-keys = Ключей ещё нет, и на каждый запрос будет ответ 403: `kmi keys add` спросит ключ.
stop-ask = Остановить kmid? [д/Н]
stop-ask-in-flight = { $count ->
    [one] Остановить kmid? { $count } запрос в работе, его завершения придётся ждать. [д/Н]
    [few] Остановить kmid? { $count } запроса в работе, их завершения придётся ждать. [д/Н]
   *[other] Остановить kmid? { $count } запросов в работе, их завершения придётся ждать. [д/Н]
}
stop-yes = д да y yes
stop-kept = kmid продолжает работать
stop-nothing = kmid не запущен (на { $socket } никто не отвечает), останавливать нечего
stop-draining = { $count ->
    [one] жду { $count } запрос в работе; `kmi proxy-stop -f` оборвёт его сразу
    [few] жду { $count } запроса в работе; `kmi proxy-stop -f` оборвёт их сразу
   *[other] жду { $count } запросов в работе; `kmi proxy-stop -f` оборвёт их сразу
}
stop-done = kmid (pid { $pid }) остановлен
error-stop = kmid (pid { $pid }) принял остановку, но ещё не завершился
error-stop-next = `kmi proxy-stop -f` не ждёт запросов в работе
reload-changed = Теперь действует: { $names }
reload-same = Ничего не изменилось.
reload-keys = ключи
reload-waiting-install = После `kmi service install`: { $names }
reload-waiting = После `kmi proxy-restart`: { $names }
reload-refused = { $count ->
        [one] Прежние настройки остаются в силе, потому что { $count } ошибочна:
        [few] Прежние настройки остаются в силе, потому что { $count } ошибочны:
       *[many] Прежние настройки остаются в силе, потому что { $count } ошибочны:
    }
restart-done = kmid снова работает (pid { $pid }): { $url }
restart-taken-over = kmid (pid { $pid }) принял работу: { $url }; прежний (pid { $old }) завершает свои запросы
restart-stops = этот kmid не может передать работу; он будет остановлен и запущен, новые запросы тем временем отклоняются

## kmi trace, e2e

why-bad-id = «{ $text }» — не номер запроса
why-bad-id-next = укажите шестнадцатеричное число из x-kmi-request-id ответа; последние показывает `kmi trace --no-follow --json`
why-session = сеанс { $session }
why-client = клиент { $name }
why-attempt = попытка { $number }: { $key }, { $met }
why-chosen = выбор: { $how }
why-no-attempt = ни один ключ не пробовали: kmid ответил сам
why-refused = ни один ключ не мог обслужить: { $how }
why-not-recorded = в трассе не записано, почему выбран этот ключ
plan-next = следующий новый сеанс получит { $key }
plan-none = сейчас ни один ключ не может обслуживать
decision-more = { $count ->
    [one] и ещё { $count }
    [few] и ещё { $count }
   *[other] и ещё { $count }
}
decision-otherwise = если бы { $chosen } не мог обслужить, был бы выбран { $next }
decision-no-other = другие ключи обслужить не могли
decision-no-reading = ещё не прочитано
decision-windows = { $list } (данным { $age })
decision-score = { $why } ({ $score })
decision-until = { $what }; конец { $moment }
trace-none = запросов нет
trace-tokens = вход { $input } (из кэша { $cached }), выход { $output }
trace-queued = в очереди { $time }
trace-attempts = попытки: { $list }
trace-id = номер { $id }
error-terminal = экран использовать нельзя: { $why }
trace-live = идёт
trace-connecting = соединение
trace-paused = { $count ->
    [0] пауза
    [one] пауза, { $count } новый
    [few] пауза, { $count } новых
   *[other] пауза, { $count } новых
}
trace-lost-not-running = kmid пропал; новая попытка каждую секунду
trace-lost-closed = kmid закрыл соединение; новая попытка
trace-lost-broken = нет соединения с kmid ({ $why }); новая попытка
trace-stale = как было до обрыва
trace-more = и ещё { $count }
trace-more-stuck = и ещё { $count } (не могут обслуживать: { $stuck })
trace-missed = { $count ->
    [one] пропущен { $count } запрос
    [few] пропущено { $count } запроса
   *[other] пропущено { $count } запросов
}
trace-count = запросы: { $shown } из { $kept }
trace-none-fits = под фильтры не подходит ни один запрос; c снимает их
trace-filter-key = ключ { $key }
trace-statuses-good = статус до 400
trace-statuses-refused = статус 4xx
trace-statuses-broken = статус 5xx или никакого
trace-hints = q выход  ? справка  p пауза  f ключ  s статус  / текст  Enter подробно
trace-hints-typing = Enter оставляет текст  Esc убирает
trace-help-title = Справка
trace-help-quit = выход
trace-help-help = показать или убрать справку
trace-help-pause = остановить список или пустить дальше
trace-help-move = выбрать запрос; прокрутить подробности
trace-help-page = то же по десять
trace-help-ends = к самому новому, к самому старому
trace-help-open = всё о запросе, с его попытками
trace-help-back = назад; затем снять выбор; затем фильтры
trace-help-key = только один ключ: следующий, потом все
trace-help-statuses = до 400, 4xx, 5xx или никакого, все
trace-help-text = только то, где есть текст
trace-help-clear = без фильтров
trace-detail-title = Запрос
trace-first-byte = первый байт через { $time }
trace-bytes = отправлено { $up }, получено { $down }
trace-error-code = ошибка { $code }
column-time = время
column-status = статус
column-first-byte = перв. байт
column-took = заняло
column-tokens = вход/кэш/выход
column-endpoint = запрос
column-in-flight = в работе
column-minute = посл. минута
column-state = состояние
column-left = осталось
column-why = почему
column-key = ключ
column-requests = запросы
column-answers = ответы
column-share = доля
column-errors = ошибки
column-input = вход
column-cached = из кэша
column-output = выход
column-model = модель
column-client = клиент
column-day = день
column-hour = час
column-rate = в минуту
e2e-sent = отправлено { $sent }, хороших ответов от ключей { $answered }, оценка по последним { $window }
e2e-failed = без ответа от ключа { $count }: { $why }
e2e-failed-status = ответов со статусом { $status }: { $count }
e2e-failure-no-key = в ответе не назван ключ
e2e-failure-token = kmid не принимает токен, больше ничего не отправлено; проверьте KMI_PROXY_TOKEN в этой оболочке и в файле настроек
e2e-failure-timeout = ответ не пришёл вовремя
e2e-failure-connection = соединение не удалось
e2e-failure-protocol = ответ не HTTP
e2e-progress = { $done } из { $total }
e2e-passed = ПРОЙДЕНО  равномерно: уверенность { $percent } % (нужно не меньше { $least } %)
e2e-uneven = ПРОВАЛ  неравномерно: уверенность { $percent } % (нужно не меньше { $least } %)
e2e-no-keys = ключей нет: любой запрос получит отказ
e2e-token = kmid требует токен, которого kmi не видит: он стоит в { $setting } ({ $place })
e2e-token-next = поместите токен в KMI_PROXY_TOKEN окружения этой оболочки и повторите
e2e-no-answer = ПРОВАЛ  ни на один запрос не пришёл хороший ответ от ключа
e2e-some-failed = ПРОВАЛ  не удалось { $failed } из { $sent } запросов
e2e-failed-endpoint = По этому пути ничего нет: --endpoint — путь API ниже базового пути прокси, например /models.
e2e-failed-next = Что случилось с каждым запросом, покажет `kmi trace --no-follow`.
e2e-not-auto = Запросы распределяются по ключам только при автоматической ротации; сейчас она { $mode }: `kmi rotate auto`.
e2e-plain = прокси говорит по простому HTTP, а не по HTTPS
e2e-plain-next = уберите --scheme
e2e-https = прокси говорит по TLS, а kmi e2e в этой версии — только по простому HTTP
e2e-https-next = запустите его с прокси без KMI_PROXY_TLS_CERT

## kmi usage

usage-none = с { $since } ничего не использовано
usage-since = с { $since }
usage-tokens = вход { $input } (из кэша { $cached }), выход { $output }
usage-no-key = (без ключа)
usage-no-model = (без модели)
usage-no-client = (без имени)
usage-other = (прочие)

## kmi kimi

kimi-not-found = клиент Kimi в PATH не найден
kimi-bin-unusable = KMI_KIMI_BIN указывает на { $path }, а это не программа
kimi-bin-unusable-next = исправьте KMI_KIMI_BIN или уберите его, чтобы взять kimi из PATH
kimi-stub = { $path } — это kimi-cli { $version }, программа которого только скачивает установщик; она не запущена
kimi-stub-next = установите kimi-code (`npm install -g @moonshot-ai/kimi-code`) или `kimi-cli==1.50.0`, или укажите другую программу в KMI_KIMI_BIN
kimi-other-provider = kimi-cli настроен на провайдера типа { $kind }, который не берёт адрес из окружения; он не запущен
kimi-other-provider-next = направьте его настройки на kmid командой `kmi connect kimi-cli` или выберите в них модель Kimi как default_model
kimi-not-found-next = установите его, например `npm install -g @moonshot-ai/kimi-code`, или добавьте его папку в PATH

## kmi connect, kmi disconnect

connect-dry-run = Ничего не записано; было бы сделано вот что:
connect-connected = { $client } направлен на kmid: { $path }
connect-already-connected = { $client } уже направлен на kmid: { $path }
connect-disconnected = { $client } снова как был, байт в байт: { $path }
connect-taken-back = { $client } за это время изменили; убрано только то, что записал kmi: { $path }
connect-not-connected = { $client } не подключён через kmi: { $path }
connect-left-alone = { $client } не изменён: { $path }
connect-line = строка { $line }:
connect-original = исходный файл: { $path }
connect-forbidden = KMI_WRITE_CONFIG=0 не даёт менять файлы настроек клиентов
connect-forbidden-next = впишите KMI_WRITE_CONFIG=1 в файл настроек kmid, это подействует за секунды; `--dry-run` покажет, что изменилось бы
connect-token = токен не показан: это значение { $setting } (откуда: { $place }); в окружении этих программ он должен стоять как KMI_PROXY_TOKEN
connect-token-named = токен не показан: он стоит в { $setting } (откуда: { $place }) после своего имени; передайте его этим программам в их окружении как KMI_PROXY_TOKEN
connect-no-token = ключ подойдёт любой: настоящий kmid вставляет в каждый запрос сам
disconnect-none = через kmi не подключён ни один клиент

## kmi doctor

check-settings = настройки
check-sources = источники
check-state-dir = папка состояния
check-permissions = права
check-daemon = процесс
check-version = версия
check-mode = режим
check-proxy = прокси
check-keys = ключи
check-key-files = файлы ключей
check-quota = квоты
check-logs = журналы
check-state = состояние
check-clients = клиенты Kimi
check-terms = условия использования
check-clear-blocklist = блокировки сняты
check-recheck-keys = заблокированные ключи проверены
check-socket = сокет
check-disk = диск
check-service = служба
check-upstream = сервер API
check-clock = часы
check-breaker = предохранитель
doctor-source-flag = командная строка
doctor-source-file = указанный файл
doctor-source-environment = окружение
doctor-source-found-file = файл настроек

doctor-fix = что делать: { $fix }
doctor-all-ok = Всё в порядке.
doctor-warnings = { $count ->
    [one] Работает; { $count } предупреждение.
    [few] Работает; { $count } предупреждения.
   *[other] Работает; { $count } предупреждений.
}
doctor-failures = Не работает: { $fails }, предупреждений: { $warns }.
doctor-stopped = { $count ->
    [one] kmid не запущен; { $count } предупреждение.
    [few] kmid не запущен; { $count } предупреждения.
   *[other] kmid не запущен; { $count } предупреждений.
}
doctor-terms = Подписка для кода дана вам лично и для разрешённых агентов. kmid меняет ключи одного человека, ничьё имя не подделывает и не предназначен для передачи или перепродажи ключей. { $switching }
doctor-terms-off = Автоматическая смена выключена, пока вы не зададите KMI_AUTO_ROTATE_ALLOWED=1.
doctor-terms-on = Задано KMI_AUTO_ROTATE_ALLOWED=1: kmid может менять ключи сам.
doctor-none = нет
doctor-settings-file = из { $path } и окружения
doctor-settings-environment = из окружения
doctor-sources = файл настроек { $env }, ключи { $auths }, состояние { $state }
doctor-settings-fix = исправьте настройку, затем `kmi proxy-restart`
doctor-settings-stopped-fix = исправьте значение; откуда оно взято, покажет `kmid --check-config`
doctor-logs-fix = освободите место на диске или разрешите запись в журнал
doctor-certificate-fix = положите годный сертификат и его ключ в файлы KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY; kmid перечитает их сам
doctor-state-fix = подробнее: `kmi proxy-logs --app --no-follow`
doctor-key-files-fix = исправьте файл; он будет прочитан заново сам
doctor-key-directory-fix = `kmi keys add` создаст её и положит туда ключ; если ключи лежат в другой папке, задайте её в KMI_AUTHS_DIR
doctor-not-running = не запущен
doctor-not-startable-fix = сначала исправьте настройки, затем запустите его: `kmi proxy`
doctor-cannot-act = проверять ключи и снимать блокировки может только запущенный kmid
doctor-running = kmid { $version }, pid { $pid }, работает { $span }
doctor-same-version = у kmi и kmid одна версия: { $version }
doctor-version-skew = версия kmi { $ours }, версия kmid { $theirs }
doctor-dry-run = пробный: запросы не покидают эту машину
doctor-dry-run-fix = когда нужны настоящие ответы, задайте KMI_DRY_RUN=0, затем `kmi proxy-restart`
doctor-no-state-dir = { $path } ещё нет; её создаст kmid
doctor-unreadable = { $path } не читается: { $why }
doctor-unreadable-fix = сделайте папку своей или укажите другую в KMI_STATE_DIR
doctor-unwritable-fix = разрешите себе запись туда или укажите другую папку в KMI_STATE_DIR
doctor-unwritable = в { $path } нельзя писать: { $why }
doctor-unmakeable = { $path } ещё нет, и kmid не сможет её создать: в { $above } нельзя писать ({ $why })
doctor-state-newer = { $path } записан более новым kmid (версия файла { $found }, здесь известна { $known }), и этот с ним не запустится
doctor-state-newer-fix = верните более новые kmid и kmi или укажите другую папку в KMI_STATE_DIR
doctor-no-folder = { $path } — не папка
doctor-no-folder-fix = уберите этот файл или укажите другое место в KMI_STATE_DIR
doctor-state-dir = { $path }, закрыта для других
doctor-open-mode = { $path } доступна другим (права { $mode })
doctor-no-keys = у kmid нет ключей
doctor-no-keys-fix = `kmi keys add` спросит ключ и положит его файл в папку ключей
doctor-none-serves = ни один ключ не может работать
doctor-none-serves-fix = `kmi health` покажет каждый ключ и до каких пор он на паузе
doctor-blocked = { $key } заблокирован: { $reason }
doctor-blocked-fix = когда причина устранена: `kmi doctor --recheck-keys` или `kmi doctor --clear-blocklist`
doctor-still-blocked = всё ещё заблокированы: { $list }
doctor-cleared = { $list }
doctor-cleared-none = нет
doctor-quota-off-fix = задайте KMI_USAGE_CACHE_SECONDS больше 0
doctor-quota-failed = { $key }: квоту не удалось прочитать: { $why }
doctor-quota-none = { $key }: данных ещё нет
doctor-quota-old = { $key }: последние данные: { $when }
doctor-quota-fix = `kmi health --refresh` прочитает квоту сейчас и покажет, что не так
doctor-quota-fresh = все данные свежие
doctor-proxy-ok = { $url } отвечает
doctor-proxy-tls = { $url } говорит по TLS; отсюда не проверялся
doctor-proxy-other = на { $url } отвечает не kmid
doctor-proxy-other-fix = найдите программу, занявшую порт, или укажите другой в KMI_PROXY_LISTEN
doctor-port-taken = { $listen } занят другой программой, возможно, kmid с другим сокетом: kmid там не запустится
doctor-proxy-status = { $url }/models отвечает { $status }
doctor-proxy-status-fix = причину назовёт `kmi trace --no-follow`, а подробнее `kmi why` с номером из конца строки
doctor-proxy-wait-fix = ключи заняты (их покажет `kmi health`) или после нескольких неверных токенов этому адресу приходится ждать; проверьте снова через минуту
doctor-proxy-token-fix = kmid не принимает токен kmi: задайте в этой оболочке KMI_PROXY_TOKEN с одним из токенов kmid
doctor-proxy-down = { $url } не отвечает: { $why }
doctor-proxy-down-fix = kmid работает, а его прокси нет: причину покажет `kmi proxy-logs --no-follow`, заново его откроет `kmi proxy-restart`
doctor-client-proxy = { $path } указывает на kmid
doctor-client-token = { $path } указывает на kmid, но записанное там не подходит ни к одному токену прокси: на запросы будет ответ 401
doctor-client-token-fix = `kmi connect { $client }` запишет нынешний токен
doctor-client-drift = `kmi connect` направил { $path } на kmid, но теперь этот файл указывает на другой адрес: запросы идут мимо прокси
doctor-client-drift-fix = `kmi connect { $client }` снова направит его на kmid; `kmi disconnect { $client }` уберёт остатки подключения
doctor-client-key = в { $path } ключ { $key }
doctor-client-problem = из { $path } ничего не узнать: { $why }
doctor-client-problem-fix = `kmi kimi` запускает клиента через прокси, что бы ни было в его настройках
doctor-client-other = в { $path } нет ни одного ключа kmid
doctor-client-other-fix = `kmi rotate` запишет туда активный ключ; `kmi kimi` запускает клиента через прокси
doctor-client-other-kept-fix = `kmi kimi` запускает клиента через прокси, что бы ни было в его настройках
doctor-no-clients = настройки клиентов Kimi не найдены
doctor-settings-set = заданы: { $list }
doctor-not-in-force = здесь заданы { $list }, но у работающего kmid этого нет
doctor-file-either = { $beside }, если kmid запускали в той папке, иначе { $usual }
doctor-not-in-force-fix = запишите это в { $file }, затем `kmi proxy-restart`: kmid видит то окружение, в котором его запустили
doctor-dry-run-skipped = пропущено: в пробном режиме ничто не покидает эту машину
doctor-no-key-files = { $path }: файлов с ключами нет
doctor-key-folder = { $path }: { $count ->
    [one] { $count } файл с ключом; kmid прочтёт его, когда будет работать
    [few] { $count } файла с ключами; kmid прочтёт их, когда будет работать
   *[other] { $count } файлов с ключами; kmid прочтёт их, когда будет работать
}
doctor-key-file-fix = разрешите себе его чтение или уберите его
doctor-socket-ok = kmid отвечает на { $path }
doctor-socket-held = на { $path } слушает диспетчер служб, он запустит kmid при первом запросе
doctor-socket-left = на { $path } никто не слушает: сокет остался от убитого kmid, следующий его заменит
doctor-socket-other = { $path } — не сокет
doctor-disk = свободно { $free } для { $path }
doctor-no-service = не установлена; команды запускают kmid, когда он нужен
doctor-service = { $path } запускает kmid вместе с сеансом
doctor-service-not-enabled = { $path } есть, но kmid вместе с сеансом не запускает
doctor-service-settings-fix = исправьте их (они отмечены здесь FAIL и WARN), затем `kmi service start`
doctor-service-failed = служба завершилась с ошибкой ({ $result }), новых попыток не будет
doctor-service-failed-fix = причину покажет `kmi service logs`; `kmi service start` попробует снова
doctor-service-restarting = служба завершилась с ошибкой ({ $result }), скоро новая попытка
doctor-service-restarting-fix = причину покажет `kmi service logs`
doctor-service-memory = службе позволено { $written } МБ памяти, но при таком KMI_PROXY_REPLAY_TOTAL_MB kmid может понадобиться { $wanted } МБ
doctor-service-stop = на остановку службе даётся { $written } с, но при таком KMI_PROXY_DRAIN_SECONDS kmid может понадобиться { $wanted } с
doctor-service-program = { $path } запускает { $program }, а такого файла нет
doctor-service-program-fix = положите kmid в { $program } или запишите службу заново: `kmi service install`
doctor-upstream-older = этот kmid не умеет проверять путь к серверам API
doctor-upstream-ok = { $host } доступен, сертификат в порядке
doctor-upstream-unreachable = { $host } недоступен: { $why }
doctor-upstream-unreachable-fix = `curl -sSI https://{ $host }/` покажет, доступен ли он с этой машины; за прокси задайте kmid переменную HTTPS_PROXY
doctor-upstream-tls = { $host }: нет TLS: { $why }
doctor-upstream-tls-fix = `curl -sSIv https://{ $host }/` покажет сертификат; проверьте часы, а если подписывает прокси компании — SSL_CERT_FILE
doctor-upstream-silent = { $host } не отвечает как должен: { $why }
doctor-clock-ok = расхождение с { $host }: { $span }
doctor-clock-ahead = часы этой машины спешат относительно { $host } на { $span }: паузы и сбросы придут не вовремя
doctor-clock-behind = часы этой машины отстают от { $host } на { $span }: паузы и сбросы придут не вовремя
doctor-breaker-open = { $host } считается неработающим (последний ответ: { $status }); когда он вернётся, выяснят одиночные запросы
doctor-breaker-open-fix = пройдёт само; что было отвечено, покажет `kmi trace --no-follow`
doctor-breakers-closed = замкнут: все серверы считаются работающими

## kmi report

report-written = Отчёт записан в { $path }. Ключей, токенов, адресов почты и промптов в нём нет; прочтите его, прежде чем отправить.
report-unwritable = { $path } не удалось записать: { $why }
report-unwritable-next = укажите другой файл в --output; существующий никогда не перезаписывается

## kmi keys

keys-column-label = ключ
keys-column-state = состояние
keys-column-left = осталось
keys-column-priority = приоритет
keys-column-key = конец
keys-column-file = файл
keys-none = ключей нет; добавить — `kmi keys add`
keys-none-next = добавьте ключ: `kmi keys add`
keys-argument = ключ не принимается аргументом: его увидели бы другие программы и история оболочки
keys-argument-next = `kmi keys add` спросит его, не показывая, или прочтёт из стандартного ввода
keys-unknown = ключа с меткой { $label } нет
keys-unknown-next = метки такие: { $list }
keys-no-file = файла ключа { $path } нет на месте
keys-unwritten = { $path } нельзя изменить: { $why }
keys-unread = ключ не удалось прочитать: { $why }
keys-keyring-unsupported = в этой системе нет связки ключей, с которой умеет пользоваться kmi
keys-keyring-no-tool = { $tool } не установлен, а к связке ключей обращаются через него (Debian: apt install libsecret-tools)
keys-keyring-unreachable = связка ключей недоступна ({ $why }); она принадлежит сеансу рабочего стола, там её запускают и открывают
keys-keyring-silent = связка ключей не отвечает; может быть, она заперта?
keys-keyring-refused = связка ключей не приняла ключ
keys-keyring-next = без --keyring ключ хранится в файле, который можете прочесть только вы
keys-ask-key = ключ API (не показывается):
keys-ask-label = метка для него [{ $proposal }]:
keys-bad-empty = ключ не задан
keys-bad-too-long = ключ длиннее 512 символов; это не ключ API
keys-bad-characters = в ключе пробелы, кавычки, фигурные скобки, управляющие символы или не ASCII; скопируйте его ещё раз, и только один
keys-bad-config = это целый файл настроек в JSON или TOML, а не ключ
keys-config-next = положите сам файл в папку ключей { $dir }, где kmid прочтёт ключи из него, или введите один только ключ
keys-bad-setting = это строки ИМЯ=значение, и среди них нет KMI_API_KEY=; нужен один только ключ или файл ключа
keys-bad-line = в этом файле ключа есть строка не вида ИМЯ=значение
keys-bad-in-keyring = этот файл называет рядом с KMI_API_KEY ключ в связке ключей; считаться может только один
keys-bad-priority = KMI_KEY_PRIORITY в этом файле ключа не целое число
keys-bad-switch = KMI_KEY_DISABLED в этом файле ключа не говорит ни да, ни нет
keys-bad-email = в адресе почты в этом файле ключа кавычки, обратные косые черты или управляющие символы; такого kmi не записывает
keys-file-next = исправьте это или положите файл как есть в папку ключей (её назовёт `kmi doctor`)
keys-left-out = этих имён в файле ключа не бывает, и они не взяты: { $list }
keys-bad-label = это не метка: до 64 символов без кавычек, обратных косых черт и управляющих символов, и не сам ключ
keys-bad-url = базовый URL не принят: { $why }
keys-same-key = этот ключ уже есть: { $label } ({ $source })
keys-bad-url-next = укажите адрес API, например https://api.kimi.ai/coding/v1
keys-same-label-next = выберите другое имя в --label; занятые показывает `kmi keys`
keys-same-label = метка { $label } уже у другого ключа ({ $source })
keys-not-taken = kmid не принимает { $path }, поэтому файл убран: { $why }
keys-add-unseen = { $path } записан, но kmid не принял его за 5 с
keys-added = { $label } в пуле: { $path }
keys-check-good = API его знает
keys-check-refused = API его отвергает ({ $said })
keys-check-unclear = проверить не удалось ({ $said }); `kmi keys test` попробует ещё раз
keys-check-dry-run = не проверен: это пробный режим, и ни один запрос не покидает машину
keys-check-not-running = не проверен: kmid не запущен; он возьмёт ключ при запуске
keys-check-disabled = не проверен: его файл выключает его; включит `kmi keys enable { $label }`
keys-refused-ask = убрать его обратно? [Д/н]
keys-refused-removed = он убран; ключи api.kimi.com и api.kimi.ai разные (--base-url), а --keep всё равно его оставит
keys-refused-kept = он всё равно остаётся
keys-remove-ask = убрать { $label } ({ $source }) из пула? [д/Н]
keys-remove-kept = остаётся
keys-remove-unasked = спросить некого: -y удаляет без вопроса
keys-removed = { $label } убран из пула; его файл сохранён как { $backup }
keys-twin = в { $source } тот же ключ, теперь считается он
keys-switch-foreign = { $path } — конфиг клиента, kmi его ради этого не правит
keys-switch-unclear = { $path } нельзя править безопасно
keys-switch-next = задайте KMI_KEY_DISABLED вручную или перенесите ключ в отдельный файл: `kmi keys remove { $label }`, затем `kmi keys add`
keys-switched-off = { $label } выключен
keys-switched-off-already = { $label } уже был выключен
keys-switched-on = { $label } включён
keys-switched-on-already = { $label } уже был включён
keys-unseen = файл изменён, но kmid не заметил этого за 5 с; причину может показать `kmi doctor`
keys-test-good = отвечает
keys-test-bad = отвечает плохо
keys-test-dry-run = пробный режим: спрошен симулятор внутри kmid, а не API
man-written = { $count ->
    [one] { $count } страница записана в { $dir }
    [few] { $count } страницы записаны в { $dir }
   *[many] { $count } страниц записано в { $dir }
}
man-try = прочесть: `man { $dir }/kmi.1`
man-unwritten-next = назовите папку, в которую можно писать
man-unwritten = страницы нельзя записать в { $dir }: { $why }

## kmi service

service-row = служба
service-row-file = файл
service-row-process = процесс
service-row-status = сообщает
service-row-bad-settings = её настройки непригодны: какие, покажет `kmi doctor`
service-activity-running = работает
service-activity-starting = запускается
service-activity-stopping = останавливается
service-activity-waiting = ждёт первого запроса
service-activity-restarting = завершилась с ошибкой, скоро новая попытка
service-activity-stopped = остановлена
service-activity-failed = завершилась с ошибкой
service-activity-unknown = диспетчер служб не говорит
service-enabled = запускается вместе с сеансом
service-not-enabled = не запускается вместе с сеансом
service-restarts = { $count ->
    [one] перезапущена после сбоя { $count } раз
    [few] перезапущена после сбоя { $count } раза
   *[other] перезапущена после сбоя { $count } раз
}
service-result = завершилась: { $result }
service-other-daemon = отвечает другой kmid (pid { $pid }), его запустила не служба
service-wrote = записан { $path }
service-kept = прежнее сохранено как { $path }
service-ran = выполнено: { $command }
service-removed = удалён { $path }
service-would-write = был бы записан { $path }:
service-would-remove = был бы удалён { $path }
service-would-run = было бы выполнено: { $command }
service-installed = kmid теперь служба: отвечает на { $url } (pid { $pid }) и запускается вместе с сеансом
service-linger = с выходом из системы она завершится; чтобы работала и тогда: `loginctl enable-linger`
service-undo = отменить: `kmi service uninstall`
service-uninstalled = kmid больше не служба; ключи, настройки и журналы остались на месте
service-switched-off = kmid больше не запускается ни вместе с сеансом, ни по запросу; до выхода из системы его запустит `kmi service start`
service-shared = { $path } общий для всех пользователей машины и остаётся; он исчезнет вместе со своим пакетом
service-enabled-for-all = она по-прежнему запускается вместе с сеансом, так как включена для всех пользователей; отключит её `sudo systemctl --global disable kmid.service kmid.socket kmid-control.socket`
service-serves = служба отвечает на { $url } (pid { $pid })
service-stopped = служба остановлена, и запросы её не запускают; запустит `kmi service start` или следующий сеанс
service-starting = kmid не запущен: запускается его служба
service-asleep = kmid не запущен; служба запустит его при первом запросе
service-bad-settings = служба kmid не запускается: её настройки непригодны
service-bad-settings-next = какие, покажет `kmi doctor`; исправьте их, затем `kmi service start`
service-fails = kmid, запущенный как служба, завершился, не ответив ({ $result })
service-elsewhere = служба слушает на { $listens }, а KMI_PROXY_LISTEN равен { $wanted }: так kmid не запустится
service-elsewhere-next = `kmi service install` запишет службу заново и перезапустит её
service-not-ready = kmid не отвечает через { $seconds } с после запуска службы
service-listen = KMI_PROXY_LISTEN равен { $listen }: службе нужен IP-адрес или localhost и постоянный порт
service-listen-next = задайте его в { $file }, например 127.0.0.1:54123
service-address = на { $address } слушать нельзя: { $why }
service-address-next = завершите программу, которая там слушает, или задайте другой KMI_PROXY_LISTEN в { $file }
service-step-failed = не выполнено `{ $command }`: { $why }
service-step-next = причину покажут `kmi service logs` и `kmi service status`
service-still-there = через { $seconds } с она всё ещё есть
service-missing = kmid не установлен как служба
service-missing-next = установите командой `kmi service install`
service-other = служба из { $file } не отвечает на { $socket }
service-changed = кто-то изменил { $list }
service-changed-next = с --yes kmi продолжит и сохранит эти файлы рядом как .{ $kept }
service-ask-replace = Кто-то изменил { $list }. Заменить, а прежний текст сохранить как .{ $kept }? [д/Н]
service-ask-remove = Кто-то изменил { $list }. Удалить, а текст сохранить как .{ $kept }? [д/Н]
service-left = оставлено как было
service-another = kmid уже служба, из { $there }; её место заняла бы служба из { $wanted }
service-another-ask = { $what }. Продолжить? [д/Н]
service-another-next = у каждого пользователя служба одна; с --yes kmi всё равно продолжит
service-makes-way = kmid (pid { $pid }) уже работает, но не как служба: сначала он будет остановлен
service-unwritten = { $path } не записать: { $why }
service-path = этот путь нельзя записать в файл службы: { $path }
service-left-behind = { $count ->
    [one] в этой оболочке задана { $list }, служба её не видит; чтобы она действовала, впишите её в { $file }
    [few] в этой оболочке заданы { $list }, служба их не видит; чтобы они действовали, впишите их в { $file }
   *[other] в этой оболочке заданы { $list }, служба их не видит; чтобы они действовали, впишите их в { $file }
}
service-left-outside = { $count ->
    [one] в этой оболочке задана { $list }, служба её не видит; в файл настроек её вписать тоже нельзя
    [few] в этой оболочке заданы { $list }, служба их не видит; в файл настроек их вписать тоже нельзя
   *[other] в этой оболочке заданы { $list }, служба их не видит; в файл настроек их вписать тоже нельзя
}
service-left-outside-systemd = чтобы действовало и у неё: `systemctl --user edit kmid`, там [Service] и Environment={ $name }=..., затем `systemctl --user restart kmid`
service-left-outside-launchd = чтобы действовало и у неё: впишите в EnvironmentVariables в { $file }, затем выйдите из системы и войдите снова
service-left-outside-task-scheduler = чтобы действовало и у неё: `setx { $name } ...`, затем выйдите из системы и войдите снова
service-no-home = нет домашней папки, куда установить службу; задайте HOME
service-no-logs = диспетчер служб не ведёт здесь журнала kmid
service-unreachable-no-systemd = диспетчер служб недоступен: эта система запущена без systemd (контейнер?)
service-unreachable-no-systemd-next = kmid работает и без него: `kmi` запустит его, когда понадобится
service-unreachable-wsl = диспетчер служб недоступен: этот WSL работает без systemd
service-unreachable-wsl-next = впишите [boot] и systemd=true в /etc/wsl.conf, выполните `wsl.exe --shutdown` и повторите
service-unreachable-no-session = systemd работает, но не для этого пользователя: нет сеанса
service-unreachable-no-session-next = войдите на самой машине или по ssh, либо от root выполните `loginctl enable-linger` для этого пользователя
service-unreachable-no-program = программы диспетчера служб нет в PATH

## Справка: `kmi --help`, `kmi COMMAND --help`, подсказки оболочек и страницы руководства
## Английские тексты стоят в самом описании командной строки (args.rs), поэтому в en.ftl их нет.
## help-kmi-КОМАНДА — сама команда, help-kmi-КОМАНДА--ПАРАМЕТР — её параметр; за тем, что есть все и нет лишних, следит тест.

help-heading-usage = Вызов
help-heading-look = Посмотреть
help-heading-steer = Управлять
help-heading-set-up = Настроить
help-heading-more = Ещё
help-heading-options = Параметры
help-heading-global = Общие параметры
help-heading-arguments = Аргументы
help-heading-commands = Команды
help-heading-examples = Примеры
help-default = по умолчанию
help-possible = возможные значения
help-possible-values = Возможные значения
help-see-more = (подробнее: --help)
help-see-summary = (короче: -h)
help-example-add = добавить ключ в пул
help-example-proxy = запустить kmid и узнать, как направить на него клиента
help-example-health = что осталось у каждого ключа, по свежим данным
help-example-rotate = работать с этим ключом, если ротация не автоматическая
help-example-doctor = когда что-то не работает
help-example-health-current = только ключ из настроек клиента
help-example-rotate-best = на ключ, у которого осталось больше всего
help-example-rotate-auto = все ключи по очереди и проверка, как расходятся запросы
help-example-logs = последние десять минут, потом по мере событий
help-example-logs-app = строки JSON, для программ
help-example-trace = весь экран; ? покажет, что можно нажать
help-example-trace-lines = последний час, строками
help-example-trace-json = строка JSON на запрос, по мере завершения
help-example-why-id = чтобы найти request_id
help-example-why = почему этот запрос получил свой ключ
help-example-usage = последние 7 дней, строка на ключ
help-example-usage-hours = когда за два дня было много запросов
help-example-usage-csv = для электронной таблицы
help-example-e2e = 50 запросов; статус 1, если они расходятся неровно или не удались
help-example-e2e-more = больше запросов, без пауз
help-example-doctor-keys = когда заблокированный ключ снова в порядке
help-example-report = файл, который можно приложить; сначала просмотрите его
help-example-report-out = то же на терминал
help-example-kimi = как вы запускаете самого клиента
help-example-kimi-help = справка клиента: всё после `kimi` — для него
help-example-kimi-ours = параметры самого kmi стоят до `kimi`
help-example-connect-dry = что изменилось бы в его настройках
help-example-connect = изменить; `kmi disconnect` вернёт как было
help-example-connect-show = что нужно другим программам
help-example-add-label = спросит ключ, не показывая его
help-example-add-file = возьмёт всё, что сказано в файле ключа
help-example-add-pipe = из хранилища паролей
help-exit-status = Подробнее: `kmi COMMAND --help`. Код завершения: 0 — сделано, 1 — не удалось, 2 — неверный вызов или настройки, 3 — kmid не запущен, 4 — kmi и kmid не подходят друг другу.

help-kmi = Управляет kmid, локальным прокси для ваших ключей API Kimi, и показывает, что он делает
help-kmi--json = Вместо слов выводить JSON
help-kmi--plain = Без рамок, полос и цвета
help-kmi--no-color = Без цвета
help-kmi--socket = Управляющий сокет kmid
help-kmi--no-start = Никогда не запускать kmid
help-kmi--help = Показать справку
help-kmi--version = Показать версию

help-kmi-status = Коротко: режим, прокси, ключи, ротация, предупреждения
help-kmi-health = Каждый ключ: состояние, окна квоты, ошибки
help-kmi-health--all = Все ключи (так и без этого параметра)
help-kmi-health--current = Только ключ из настроек клиента Kimi
help-kmi-health--refresh = Сначала спросить у API свежие квоты
help-kmi-rotate = Перейти на лучший ключ, включить или выключить автоматическую ротацию
help-kmi-rotate--mode = Автоматическая ротация: включить или выключить; без этого — сейчас перейти на лучший ключ
help-kmi-rotate--mode-auto = включить
help-kmi-rotate--mode-off = выключить
help-kmi-rotate--to = Перейти на этот ключ
help-kmi-proxy = Убедиться, что kmid работает, и показать, как направить на него клиента
help-kmi-proxy--foreground = Остаться в этом терминале
help-kmi-proxy-stop = Остановить kmid
help-kmi-proxy-stop--yes = Не спрашивать
help-kmi-proxy-stop--force = Завершить сразу, не дожидаясь запросов в работе
help-kmi-proxy-reload = Велеть kmid перечитать настройки и ключи
help-kmi-proxy-restart = Перезапустить kmid с теми путями, с которыми он был запущен
help-kmi-service = Запускать kmid вместе с вашим сеансом: install, uninstall, start, stop, restart, status, logs
help-kmi-service-after =
    Примеры:
      kmi service install --dry-run    показать все файлы и команды, ничего не меняя
      kmi service install              kmid запускается вместе с сеансом и при первом запросе
      kmi service status               что говорит диспетчер служб и что говорит kmid
help-kmi-service-install = Запускать kmid вместе с вашим сеансом и дождаться, пока он заработает
help-kmi-service-install--dry-run = Показать, что было бы записано и выполнено, ничего не меняя
help-kmi-service-install--yes = Не спрашивать, прежде чем заменить или удалить файл, который кто-то изменил, или службу другой папки состояния
help-kmi-service-uninstall = Отменить `install`: остановить службу и удалить её файлы
help-kmi-service-uninstall--dry-run = Показать, что было бы удалено и выполнено, ничего не меняя
help-kmi-service-uninstall--yes = Не спрашивать, прежде чем заменить или удалить файл, который кто-то изменил, или службу другой папки состояния
help-kmi-service-start = Запустить службу
help-kmi-service-stop = Остановить службу; следующий запрос её тоже не запустит
help-kmi-service-restart = Перезапустить службу; запросы тем временем ждут
help-kmi-service-status = Что говорит диспетчер служб и что говорит kmid
help-kmi-service-logs = Что диспетчер служб записал о службе; собственный журнал kmid показывает `kmi proxy-logs`
help-kmi-service-logs--lines = Не больше стольких старых строк
help-kmi-service-logs--follow = Показывать и то, что будет дальше
help-kmi-proxy-logs = Показать журналы kmid
help-kmi-proxy-logs--follow = Показывать и то, что будет дальше (так и без этого параметра)
help-kmi-proxy-logs--no-follow = Только то, что уже есть
help-kmi-proxy-logs--lines = Не больше стольких старых строк
help-kmi-proxy-logs--daemon = Журнал для людей, proxy.out (так и без этого параметра)
help-kmi-proxy-logs--app = Журнал для программ, kmi.log
help-kmi-proxy-logs--since = Только то, что новее: 30s, 10m, 1h, 2d или время ISO
help-kmi-trace = Запросы по мере поступления; на терминале — во весь экран
help-kmi-trace--since = Начать с того, что новее: 30s, 10m, 1h, 2d или время ISO
help-kmi-trace--lines = Не больше стольких старых запросов
help-kmi-trace--no-follow = Только то, что уже есть
help-kmi-why = Почему запрос получил этот ключ и чем кончилась каждая попытка
help-kmi-why--request-id = x-kmi-request-id из ответа; его показывает и `kmi trace --json`
help-kmi-plan = Какой ключ получит следующий новый сеанс и в каком порядке идут остальные
help-kmi-usage = История: запросы, ошибки и токены по ключам, дням, часам или моделям
help-kmi-usage--since = За какое время: 30s, 10m, 1h, 2d или время ISO; хранится 90 дней
help-kmi-usage--by = По чему складывать
help-kmi-usage--by-key = по ключам
help-kmi-usage--by-day = по дням
help-kmi-usage--by-hour = по часам, в которые были запросы
help-kmi-usage--by-model = по моделям
help-kmi-usage--by-client = по именам токенов (KMI_PROXY_TOKENS)
help-kmi-usage--csv = Вместо слов выводить CSV
help-kmi-e2e = Отправить запросы через прокси и показать, как они распределились по ключам
help-kmi-e2e--requests = Сколько запросов отправить
help-kmi-e2e--batch = Сколько запросов между двумя паузами
help-kmi-e2e--window = По скольким последним ответам судить
help-kmi-e2e--endpoint = Путь ниже базового пути прокси
help-kmi-e2e--min-confidence = С какой уверенности, в процентах, считать проверку успешной
help-kmi-e2e--timeout = Сколько секунд ждать ответа
help-kmi-e2e--pause = Секунды между партиями
help-kmi-doctor = Проверить всё и сказать, как исправить то, что не так
help-kmi-doctor--recheck-keys = Спросить API о заблокированных ключах и разблокировать те, что отвечают хорошо
help-kmi-doctor--clear-blocklist = Снять все блокировки и паузы
help-kmi-report = Записать отчёт без секретов, чтобы приложить его к сообщению об ошибке
help-kmi-report--output = Файл для отчёта, `-` — стандартный вывод; без этого — kmi-report-ВРЕМЯ.json в этой папке
help-kmi-kimi = Запустить клиента Kimi через прокси
help-kmi-kimi--args = Передаются клиенту Kimi как есть
help-kmi-connect = Надолго направить настройки клиента Kimi на прокси; --show — для других программ
help-kmi-connect--client = Какой клиент
help-kmi-connect--client-kimi-code = ~/.kimi-code/config.toml
help-kmi-connect--client-kimi-cli = ~/.kimi/config.toml
help-kmi-connect--dry-run = Показать, что изменилось бы, ничего не меняя
help-kmi-connect--show = Показать, что вставить для Claude Code, OpenAI и Anthropic SDK, opencode и curl
help-kmi-disconnect = Отменить `kmi connect`
help-kmi-disconnect--client = Какой клиент; без этого — все, что подключены
help-kmi-disconnect--client-kimi-code = ~/.kimi-code/config.toml
help-kmi-disconnect--client-kimi-cli = ~/.kimi/config.toml
help-kmi-disconnect--dry-run = Показать, что изменилось бы, ничего не меняя
help-kmi-keys = Ключи пула: list, add, remove, enable, disable, test
help-kmi-keys-after =
    Примеры:
      kmi keys add --label work        спросит ключ, не показывая его
      pass show kimi | kmi keys add    то же из хранилища паролей
      kmi keys test                    спросит API о каждом ключе
help-kmi-keys-list = Каждый ключ в одной строке
help-kmi-keys-add = Добавить ключ в пул: спросит его или прочтёт из стандартного ввода
help-kmi-keys-add--label = Имя ключа; если его нет, будет задан вопрос
help-kmi-keys-add--base-url = Куда отправлять ключ: адрес https; без этого — KMI_UPSTREAM_BASE_URL
help-kmi-keys-add--priority = Чем больше, тем раньше его очередь
help-kmi-keys-add--keyring = Хранить ключ в связке ключей рабочего стола; в файле останется только его имя там
help-kmi-keys-add--keep = Оставить ключ, даже если API его отвергает
help-kmi-keys-remove = Убрать ключ из пула; его файл сохраняется под другим именем
help-kmi-keys-remove--label = Ключ
help-kmi-keys-remove--yes = Не спрашивать
help-kmi-keys-enable = Снова пользоваться ключом
help-kmi-keys-enable--label = Ключ
help-kmi-keys-disable = Пока не пользоваться ключом
help-kmi-keys-disable--label = Ключ
help-kmi-keys-test = Спросить API об одном ключе или обо всех и показать ответ
help-kmi-keys-test--label = Ключ; без него — все
help-kmi-completions = Вывести то, что нужно оболочке, чтобы дополнять командную строку
help-kmi-completions-after =
    Примеры:
      bash        eval "$(kmi completions bash)"                      в ~/.bashrc
      zsh         eval "$(kmi completions zsh)"                       в ~/.zshrc, после compinit
      fish        kmi completions fish | source                      в ~/.config/fish/config.fish
      powershell  kmi completions powershell | Out-String | iex      в $PROFILE
      elvish      eval (kmi completions elvish | slurp)              в ~/.config/elvish/rc.elv
help-kmi-completions--shell = Оболочка
help-kmi-man = Записать страницы руководства в папку
help-kmi-man--dir = Папка; если её нет, она создаётся

help-man-name = НАЗВАНИЕ
help-man-synopsis = ВЫЗОВ
help-man-description = ОПИСАНИЕ
help-man-options = ПАРАМЕТРЫ
help-man-subcommands = КОМАНДЫ
help-man-extra = ДОПОЛНИТЕЛЬНО
help-man-version = ВЕРСИЯ

## Ошибки в командной строке; по-английски о них говорит clap

wrong-command = команды «{ $name }» нет
wrong-option = «{ $name }» здесь не принимается
wrong-value = «{ $value }» не годится для { $name }
wrong-value-of = «{ $value }» не годится для { $name }; можно: { $list }
wrong-value-because = «{ $value }» не годится для { $name }: { $why }
wrong-value-missing = для { $name } не указано значение
wrong-value-unwanted = { $name } не принимает значения, а указано «{ $value }»
wrong-together = { $name } нельзя указывать вместе с { $other }
wrong-twice = { $name } можно указать только один раз
wrong-modes = указано два действия сразу; нужно что-то одно: команда или один из параметров --status, --health, --all, --current, --rotate, --auto-rotate, --trace
wrong-missing = не указано: { $list }
wrong-characters = в аргументах не UTF-8
wrong-otherwise = командная строка не понята: { $why }
wrong-why-range = нужно целое число от { $least } до { $most }
wrong-why-whole = нужно целое число
wrong-why-seconds = нужны секунды, от 0 до 86400
wrong-why-percent = нужен процент, от 0 до 100
wrong-next = как правильно, покажет `{ $command } --help`
wrong-next-similar = может быть, «{ $similar }»? Как правильно, покажет `{ $command } --help`
