# Фразы kmid и настроек по-русски. Коды, аргументы и английский текст: daemon/core/src/said/sentences.rs; за тем, что
# каждой фразе есть перевод с теми же аргументами, следит тест.

## Слова системы

said-io-not-found = такого файла или папки нет
said-io-denied = нет прав
said-io-full = на диске нет места
said-io-read-only = файловая система только для чтения
said-io-refused = в соединении отказано
said-io-reset = соединение сброшено
said-io-timeout = время ожидания истекло
said-io-address-taken = адрес уже занят

## Значения настроек

said-value-not-allowed = { $value } не годится; { $allowed }
said-hidden-value-not-allowed = это значение не годится; { $allowed }
said-use-switch = можно 1, true, yes, on или 0, false, no, off
said-use-whole = нужно целое число от { $low } до { $high }
said-use-listen = нужно узел:порт, например 127.0.0.1:54123, [::1]:54123 или localhost:0
said-use-base-path = нужен путь вроде /kmi-rotor/v1 из букв, цифр и . _ ~ - или /, если путь не нужен
said-use-base-url = { $why }; годится, например, https://api.kimi.com/coding/v1
said-base-url-is-none = это не URL; нужен, например, https://api.kimi.com/coding/v1
said-base-url-not-https = разрешён только https
said-base-url-has-more = в базовом URL не бывает имени пользователя, запроса и фрагмента
said-use-allowlist = нужны имена узлов через запятую, без схемы, порта и пути; *.example.com разрешает все узлы ниже example.com; пустое значение разрешает любой узел с https
said-use-policy = можно round-robin, most-left или drain
said-use-http = можно 1.1, 2 или auto
said-use-locale = можно system, en или ru
said-use-timezone = можно local, UTC, смещение вроде +03:00 или имя IANA вроде Europe/Moscow
said-use-log-level = можно error, warn, info, debug, trace или фильтр tracing вроде info,kmid::proxy=debug
said-use-token = нужно до 512 печатных знаков ASCII без пробелов
said-use-named-tokens = нужно до 100 пар имя:токен через запятую, каждое имя и каждый токен один раз; имена до 32 букв, цифр и . _ -, токены до 512 печатных знаков ASCII без пробелов и запятых
said-use-addresses = нужно до 100 IP-адресов через запятую, например 10.0.0.2,fd00::2
said-use-name = нужно имя до 100 знаков в одну строку
said-use-path = нужен путь
said-use-home-path = раскрываются только ~ и ~/...; папку другого пользователя пишите целиком
said-use-whole-path = относительному пути нужна текущая папка, а её нет; напишите путь целиком
said-set-home = ~ означает домашнюю папку, а её нет: задайте HOME или напишите путь целиком
said-not-utf8 = это значение не в UTF-8

## Настройки, которые касаются друг друга

said-socket-path-too-long = путь управляющего сокета занимает { $length } байт, а система разрешает { $most }; задайте в KMI_SOCKET или KMI_STATE_DIR путь короче
said-token-twice = токен { $name } тот же, что в KMI_PROXY_TOKEN; дайте каждому свой
said-needs-the-other = к нему нужна и { $other }; задайте обе или ни одной
said-replay-total-too-small = должно быть не меньше KMI_PROXY_REPLAY_MB, иначе тело такого размера не собрать
said-strict-needs-readings = для этого квоты должны читаться в фоне: с KMI_USAGE_CACHE_SECONDS=0 ни один ключ не смог бы обслуживать долго; задайте там больше 0
said-upstream-not-on-allowlist = в KMI_UPSTREAM_ALLOWLIST нет его узла; ключи без своего базового URL будут отклонены
said-remote-needs = до { $listen } могут дойти другие машины, для этого нужно: { $missing }; или слушайте 127.0.0.1
said-both = { $one } и { $other }
said-needs-allow-remote = KMI_PROXY_ALLOW_REMOTE=1
said-needs-token = KMI_PROXY_TOKEN (или KMI_PROXY_TOKENS)
said-needs-tls = TLS (KMI_PROXY_TLS_CERT с KMI_PROXY_TLS_KEY, или KMI_PROXY_TLS_TERMINATED=1, если TLS заканчивается перед ним, или KMI_PROXY_REQUIRE_TLS=0 на свой страх и риск)
said-terminated-needs-token = кто дойдёт до того, где заканчивается TLS, дойдёт и до прокси, поэтому ему нужен KMI_PROXY_TOKEN или KMI_PROXY_TOKENS
said-token-is-short = до прокси могут дойти другие, а в токене меньше { $least } знаков; `openssl rand -hex 16` сделает такой, что не угадать
said-tls-file-unreadable = { $path } не читается: { $why }; назовите файл PEM

## Файлы настроек

said-env-path-names-none = это не путь; напишите полный путь файла настроек
said-named-file-unreadable = { $path }: { $why }
said-found-file-unreadable = файл { $why }; исправьте или удалите его или назовите другой в KMI_ENV_PATH
said-file-missing = не существует
said-file-is-none = не является обычным файлом
said-file-too-large = больше 1 МиБ
said-file-is-no-text = не в UTF-8
said-file-unreadable = не читается: { $why }
said-found-file-may-not = файл .env, найденный сам собой, задавать это не может; задайте в окружении или назовите файл в KMI_ENV_PATH
said-found-file-auths-outside = файл .env, найденный сам собой, может назвать только папку внутри своей; задайте в окружении или назовите файл в KMI_ENV_PATH
said-bad-line = строка { $line } не имеет вида ИМЯ=значение; закройте все кавычки, значение с пробелами возьмите в кавычки, с обратной чертой в одинарные
said-bad-lines = строка { $line } (и ещё { $more }) не имеет вида ИМЯ=значение; закройте все кавычки, значение с пробелами возьмите в кавычки, с обратной чертой в одинарные
said-set-more-than-once = задано несколько раз; действует последнее
said-env-path-in-file = файл настроек не может назвать другой; задайте в окружении
said-belongs-into-key-file = это место в файле ключа, в папке ключей
said-unknown-setting = такой настройки нет
said-unknown-setting-meant = такой настройки нет; может быть, { $known }?
said-from-source = { $said } (откуда: { $source })
said-source-flag = командная строка
said-source-environment = окружение
said-source-default = значение по умолчанию
said-environment-of-kmid = окружение kmid
said-about = { $subject }: { $said }

## Файлы ключей

said-no-key-directory = папки ключей ещё нет; создайте её и положите в неё файл, например alpha.env с KMI_API_KEY=...
said-key-directory-unreadable = папка ключей не читается: { $why }; создайте её или задайте KMI_AUTHS_DIR
said-key-folder-unreadable = папка не читается: { $why }
said-too-many-key-files = файлов с ключами больше { $most }; остальные не читаются
said-key-in-file-name = здесь есть файл, в имени которого стоит сам ключ; переименуйте его
said-key-twice = в нём тот же ключ, что и в { $first }, и действует тот; удалите один из них
said-key-in-label = в KMI_KEY_LABEL стоит сам ключ; вместо метки взято имя файла
said-label-taken = метка { $wanted } уже у другого ключа; этот называется { $given }
said-key-url-refused = его базовый URL отклонён ({ $why }); ключ никуда не отправляется
said-key-host-refused = узла его базового URL нет в KMI_UPSTREAM_ALLOWLIST; ключ никуда не отправляется
said-default-host-refused = узла по умолчанию (KMI_UPSTREAM_BASE_URL) нет в KMI_UPSTREAM_ALLOWLIST; ключ никуда не отправляется
said-key-too-long = ключ длиннее { $most } знаков; это не ключ API
said-key-has-blanks = в ключе пробелы, управляющие знаки или знаки не из ASCII; скопируйте ключ ещё раз
said-key-file-unreadable = не читается: { $why }
said-key-file-leads-nowhere = ссылка никуда не ведёт, или файл только что удалили
said-key-file-leaves = это ссылка за пределы папки ключей; положите туда сам файл
said-it-is-no-file = это не файл
said-it-is-too-large = файл больше 1 МиБ
said-it-is-no-text = файл не в UTF-8
said-key-priority-wrong = KMI_KEY_PRIORITY должен быть целым числом, например 10 или -1
said-key-disabled-wrong = KMI_KEY_DISABLED не переключатель; { $allowed }
said-key-and-keyring = в нём и KMI_API_KEY, и { $other }; удалите что-то одно
said-key-missing = в нём нет KMI_API_KEY
said-setting-in-key-file = { $name } настройка, в файле ключа она не действует
said-key-name-meant = в нём неизвестное имя KMI_; может быть, { $known }?
said-key-name-unknown = в нём неизвестное имя KMI_; в файлах ключей бывают { $names }
said-no-provider-has-key = ни у одного провайдера в нём нет api_key
said-no-toml = это не файл настроек клиента в TOML
said-no-toml-from-line = это не файл настроек клиента в TOML (строка { $line })
said-no-json = это не файл настроек клиента в JSON (строка { $line }, столбец { $column })
said-others-may-use = им могут пользоваться другие на этой машине (права { $mode }); выполните: { $run }
said-others-may-use-windows = им могут пользоваться другие на этой машине ({ $who }); выполните: { $run }
said-key-in-keyring = его ключ в связке ключей: { $why }
said-keyring-unsupported = в этой системе нет связки ключей, с которой умеет kmid; держите ключ в файле
said-keyring-no-tool = { $tool } не установлен; установите его (Debian: apt install libsecret-tools) или держите ключ в файле
said-keyring-unreachable = связка ключей недоступна ({ $why }); она принадлежит сеансу рабочего стола: запустите или откройте её там, затем `kmi proxy-restart`, или держите ключ в файле
said-keyring-silent = связка ключей не отвечает; откройте её, затем `kmi proxy-restart`, или держите ключ в файле
said-keyring-has-none = под этим именем в связке ключей ничего нет; `kmi keys add --keyring` положит туда ключ
said-keyring-holds-no-key = то, что нужно сохранить или прочитать, не ключ; добавьте его ещё раз: `kmi keys add --keyring`

## Папка состояния и то, что в ней

said-rights-stay-open = другие могут её читать, а права изменить не удаётся ({ $why })
said-rights-are-open = другие могут это читать; выполните для него `{ $run }` или задайте KMI_ENFORCE_FILE_PERMS=1
said-state-dir-held = { $path } уже занята другим kmid; `kmi status` покажет его, `kmi proxy-stop` остановит; для второго задайте в KMI_STATE_DIR другую папку
said-state-dir-held-by = { $path } уже занята другим kmid (процесс { $pid }); `kmi status` покажет его, `kmi proxy-stop` остановит; для второго задайте в KMI_STATE_DIR другую папку
said-state-dir-is-link = { $path }: это ссылка; задайте в KMI_STATE_DIR саму папку
said-state-dir-is-none = { $path }: это не папка; уберите её или задайте в KMI_STATE_DIR другую папку
said-state-dir-is-foreign = { $path } принадлежит другому пользователю, он мог бы читать и менять то, что там лежит; запустите kmid от его имени или задайте в KMI_STATE_DIR свою папку
said-state-dir-unusable = { $path } не годится; проверьте права на неё и папки выше, можно ли писать на диск и есть ли на нём место
said-nothing-is-remembered = { $why }; запросы обслуживаются, но ничего не запоминается
said-state-unwritten = { $path } не записывается: { $why }; освободите место или проверьте права на папку
said-state-unwritten-times = { $why } (попыток: { $times }; состояние хранится в памяти)
said-state-migrated = перенесено из версии 1; старый файл лежит как { $kept }
said-state-set-aside = состояние не прочиталось ({ $why }) и отложено как { $kept }; паузы, счётчики и активный ключ начинаются заново
said-usage-unwritten = история расхода не записывается ({ $why }); она хранится в памяти
said-usage-set-aside = { $path } не прочитался ({ $why }) и отложен как { $kept }; история этого дня начинается заново
said-lines-lost = { $count ->
    [one] с запуска не удалось записать { $count } строку; проверьте диск и права
    [few] с запуска не удалось записать { $count } строки; проверьте диск и права
   *[other] с запуска не удалось записать { $count } строк; проверьте диск и права
}

## Сертификат прокси

said-certificate-unreadable = KMI_PROXY_TLS_CERT: в { $path } нет читаемой цепочки сертификатов PEM
said-certificate-key-unreadable = KMI_PROXY_TLS_KEY: в { $path } нет читаемого закрытого ключа PEM
said-certificate-pair-unusable = сертификат TLS и ключ не подходят друг к другу: { $why }
said-certificate-kept = { $why }; пока оба файла не станут годными, работает прежний сертификат
said-certificate-ends-tomorrow = он годен ещё 1 день, до { $until }; обновите его, kmid перечитает его сам
said-certificate-ends-soon = { $days ->
    [one] он годен ещё { $days } день, до { $until }; обновите его, kmid перечитает его сам
    [few] он годен ещё { $days } дня, до { $until }; обновите его, kmid перечитает его сам
   *[other] он годен ещё { $days } дней, до { $until }; обновите его, kmid перечитает его сам
}
said-certificate-ended = он истёк { $since }; клиенты его не примут: обновите его, kmid перечитает его сам
said-certificate-not-yet = он начнёт действовать только { $from }; верны ли часы?

## Файлы настроек клиентов

said-of-file = { $path }: { $said }
said-of-part = { $part } { $why }
said-part-file = файл
said-part-provider = провайдер в работе
said-left-not-toml = не разбирается как TOML (строка { $line }), изменений нет; исправьте и повторите
said-left-no-provider = не говорит, какой провайдер в работе, ключ не записан; задайте в нём default_model
said-left-dangling-model = называет default_model, которая не ведёт ни к какому провайдеру, ключ не записан; исправьте её
said-left-points-at-kmid = указывает на сам kmid, изменений нет; выбранный ключ kmid вставляет в каждый запрос
said-left-oauth = входит через OAuth, изменений нет; чтобы ключ записывался, настройте вход по ключу API
said-left-from-environment = берёт ключ из окружения, изменений нет; впишите ключ в api_key
said-left-no-key = не имеет api_key, изменений нет; добавьте `api_key = ""` и повторите
said-left-key-is-no-text = имеет api_key, который не строка, изменений нет; сделайте его строкой и повторите
said-left-no-base-url = не имеет годного base_url, изменений нет; добавьте его и повторите
said-left-model-overrules = уступает api_key или base_url самой модели, изменений нет; уберите их из модели
said-left-not-kimi = не относится к Kimi, изменений нет; выберите в default_model модель Kimi
said-config-unread = файл не читается, изменений нет: { $why }
said-config-is-none = это не обычный файл до 1 МиБ, изменений нет
said-config-is-no-text = файл не в UTF-8, изменений нет; сохраните его в UTF-8 и повторите
said-config-busy = файл всё время менялся, изменений нет; повторите
said-config-no-backup = изменений нет, потому что не записалась копия файла: { $why }
said-config-unwritten = файл не записался и остался как был: { $why }
said-config-absent = такого файла нет; запустите клиент один раз, задайте ключ и повторите
said-config-gone = файла больше нет, возвращать нечего
said-config-stays-edited = { $place }: значение за это время изменили или удалили, оно остаётся как есть
said-config-dry-run = файлы клиентов не записаны: это пробный режим (KMI_DRY_RUN=1)
said-config-kept = файлы клиентов не записаны: KMI_WRITE_CONFIG=0
said-models-asked-elsewhere = модели { $provider } kimi-cli запрашивает по KIMI_CODE_BASE_URL, что бы ни стояло в файле; там, где вы его запускаете, задайте KIMI_CODE_BASE_URL={ $url }
said-no-home = у kmid нет домашней папки; задайте HOME и перезапустите его
said-record-unusable = { $at } не годится ({ $why }); исходный файл { $original }: скопируйте его обратно, затем удалите оба
said-record-is-none = это не запись
said-record-of-version = версия { $version }
said-port-changes = KMI_PROXY_LISTEN равен { $listen }: порт при каждом запуске другой, а файл указывает на нынешний; задайте постоянный порт, например 127.0.0.1:54123, затем `kmi proxy-restart` и ещё раз `kmi connect { $client }`

## Смена ключей

said-key-may-not-serve = ключ { $key } сейчас { $state } и может не работать
said-state-ready = готов
said-state-warn = на исходе
said-state-cooling = на паузе
said-state-blocked = заблокирован
said-state-disabled = выключен

## Показания квот и путь к серверам

said-quota-no-header = ключ не помещается в заголовок
said-quota-broke-off = ответ /usages оборвался
said-quota-unread = /usages: { $why }
said-quota-is-no-json = ответ не в JSON
said-quota-is-none = в ответе нет квоты
said-quota-answered = /usages отвечает { $status } ({ $row })
said-quota-timeout = /usages не ответил за 8 с
said-reach-timeout = ответа не было 8 с
said-fault = { $doing }: { $what }
said-fault-because = { $fault } ({ $why })
said-doing-connect = соединение с сервером
said-doing-send = отправка запроса серверу
said-doing-first-byte = ожидание ответа сервера
said-doing-body = чтение ответа сервера
said-fault-dns = имя не найдено
said-fault-refused = он недоступен
said-fault-tls = ошибка TLS
said-fault-timeout = слишком долго ничего не приходило
said-fault-closed = соединение закрыто
said-fault-protocol = ответ не по HTTP
said-fault-truncated = поток кончился без завершающего события
said-fault-no-room = на этой машине не осталось для него открытых файлов, портов или памяти

## Отказы

said-unknown-label = ключа { $label } нет; есть: { $known }
said-no-keys = ключей нет; положите хотя бы один в папку ключей
said-key-disabled = ключ { $label } выключен в своём файле
said-rotation-not-allowed = автоматическая смена не разрешена; впишите KMI_AUTO_ROTATE_ALLOWED=1 в файл настроек, это подействует за секунды
said-none-serves = ни один ключ не может работать: { $states }
said-key-is = { $key } { $state }
said-key-is-until = { $key } { $state } до { $until }
said-key-is-because = { $key } { $state } ({ $reason })
said-ending = kmid завершается
said-leaving = kmid передаёт работу новому процессу; повторите чуть позже
said-not-saved = изменение действует, но не записано: { $why }
said-restart-unsupported = на этой системе сокеты нельзя передать другому процессу; остановите kmid и запустите снова
said-restart-under-way = перезапуск уже идёт; дождитесь его конца
said-restart-too-many-behind = { $count ->
    [one] { $count } процесс ещё заканчивает запросы прежних перезапусков; подождите или, чтобы их оборвать, остановите kmid и запустите снова
    [few] { $count } процесса ещё заканчивают запросы прежних перезапусков; подождите или, чтобы их оборвать, остановите kmid и запустите снова
   *[other] { $count } процессов ещё заканчивают запросы прежних перезапусков; подождите или, чтобы их оборвать, остановите kmid и запустите снова
}
said-restart-elsewhere = { $what } теперь другой, а на другое место ничего передать нельзя; остановите kmid и запустите снова
said-restart-held = { $what } теперь другой, но сокет на прежнем месте держит диспетчер служб; `kmi service install` напишет службу заново
said-restart-managed = тот, кто запустил этот kmid, ждёт его конца и примет передачу дел за конец; перезапустите его там: контейнер или службу через диспетчер служб
said-restart-bad-settings = с такими настройками работать нельзя, новый kmid не запущен: { $list }
said-restart-failed = новый kmid не запустился ({ $why }); этот работает дальше
said-restart-program = { $program }: { $why }
said-restart-ended-silently = он завершился без объяснений; подробности могут быть в logs/kmi.log и logs/proxy.out
said-restart-ended-with = он завершился: { $status }
said-restart-gone = его больше нет
said-restart-not-ready = за { $seconds } с он не стал готов
said-restart-given-up = тем временем этому kmid велели остановиться
said-restart-other-protocol = у него другой протокол
said-restart-out-of-turn = он говорит не вовремя
said-restart-not-saved = { $why }; этот kmid работает дальше
said-unknown-request = в следах нет запроса { $id }; хранятся только самые новые (KMI_TRACE_MAX_MB)
said-config-writing-off = KMI_WRITE_CONFIG=0 не даёт менять файлы настроек клиентов; чтобы они записывались, задайте 1
