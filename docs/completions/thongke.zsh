#compdef thongke

autoload -U is-at-least

_thongke() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_thongke_commands" \
"*::: :->thongke" \
&& ret=0
    case $state in
    (thongke)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:thongke-command-$line[1]:"
        case $line[1] in
            (serve)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(health)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':file -- The file to write; it must not exist:_files' \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
'--source=[A name for where the counts come from; importing under it again replaces them]:NAME:_default' \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
':file -- The file; `-` reads standard input:_files' \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
&& ret=0
;;
(figures)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'--json[Write them as JSON]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
&& ret=0
;;
(sources)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'--json[Write them as a JSON array]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
&& ret=0
;;
(bots)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'--json[Write them as a JSON array]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'--repair[Bring all that the file has to Redis again, and make counters there the sum of their sources]' \
'--json[Write what was found as a JSON object, by site]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::site -- The site; without one, all sites:_default' \
&& ret=0
;;
(forget)
_arguments "${_arguments_options[@]}" : \
'--source=[The import'\''s name]:NAME:_default' \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':site:_default' \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(manual)
_arguments "${_arguments_options[@]}" : \
'--config=[The configuration file (TOML) that names your sites; without one, thongke serves a demo site \[env\: THONGKE_CONFIG\]]:FILE:_files' \
'--listen=[Where pages reach the counter\: an address and a port \[default\: 127.0.0.1\:8080\] \[env\: THONGKE_LISTEN\]]:ADDR:_default' \
'--admin-listen=[Where you reach it\: metrics, health, import and export; keep it off the internet \[default\: 127.0.0.1\:8081\] \[env\: THONGKE_ADMIN_LISTEN\]]:ADDR:_default' \
'--data-dir=[The folder that holds the counts \[default\: ./data\] \[env\: THONGKE_DATA_DIR\]]:DIR:_files' \
'*--redis=[A Redis server that several nodes share, for example redis\://10.0.0.5\:6379; repeat it for further cluster seeds or sentinels \[env\: THONGKE_REDIS, separated by commas\]]:URL:_default' \
'--log-format=[How log lines are written \[default\: text\] \[env\: THONGKE_LOG_FORMAT\]]:FORMAT:((text\:"For people"
json\:"One JSON object a line, for a log collector"))' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
':folder:_files' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_thongke__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:thongke-help-command-$line[1]:"
        case $line[1] in
            (serve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(health)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(backup)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(import)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(export)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(figures)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sources)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(bots)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(verify)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(forget)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(manual)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_thongke_commands] )) ||
_thongke_commands() {
    local commands; commands=(
'serve:Count and serve; what \`thongke\` alone does' \
'check:Check the configuration, and whether what it names can be used; 0\: yes, perhaps with warnings, 1\: something doesn'\''t work, 2\: the configuration is wrong' \
'health:Whether a running node counts\: exit 0 or 1, for container engines and scripts' \
'backup:Copy the node'\''s counts into a new file, while it runs or not; the copy is checked' \
'import:Take over old counts from a CSV file (\`period,hits\` or \`period,page,hits\`)' \
'export:Write all counts of a site as CSV' \
'figures:Show a site'\''s figures as its pages show them' \
'sources:Show who contributed what to a site'\''s counts' \
'bots:Show how many hits of a site were not counted, by day and kind\: bots, prefetches, repeats' \
'verify:Compare what the node'\''s file, Redis and the other nodes there know of sites; 0\: all agrees, 1\: something differs' \
'forget:Undo an import' \
'completions:Write what a shell needs to complete this command line' \
'manual:Write the manual pages into a folder' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'thongke commands' commands "$@"
}
(( $+functions[_thongke__subcmd__backup_commands] )) ||
_thongke__subcmd__backup_commands() {
    local commands; commands=()
    _describe -t commands 'thongke backup commands' commands "$@"
}
(( $+functions[_thongke__subcmd__bots_commands] )) ||
_thongke__subcmd__bots_commands() {
    local commands; commands=()
    _describe -t commands 'thongke bots commands' commands "$@"
}
(( $+functions[_thongke__subcmd__check_commands] )) ||
_thongke__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'thongke check commands' commands "$@"
}
(( $+functions[_thongke__subcmd__completions_commands] )) ||
_thongke__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'thongke completions commands' commands "$@"
}
(( $+functions[_thongke__subcmd__export_commands] )) ||
_thongke__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'thongke export commands' commands "$@"
}
(( $+functions[_thongke__subcmd__figures_commands] )) ||
_thongke__subcmd__figures_commands() {
    local commands; commands=()
    _describe -t commands 'thongke figures commands' commands "$@"
}
(( $+functions[_thongke__subcmd__forget_commands] )) ||
_thongke__subcmd__forget_commands() {
    local commands; commands=()
    _describe -t commands 'thongke forget commands' commands "$@"
}
(( $+functions[_thongke__subcmd__health_commands] )) ||
_thongke__subcmd__health_commands() {
    local commands; commands=()
    _describe -t commands 'thongke health commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help_commands] )) ||
_thongke__subcmd__help_commands() {
    local commands; commands=(
'serve:Count and serve; what \`thongke\` alone does' \
'check:Check the configuration, and whether what it names can be used; 0\: yes, perhaps with warnings, 1\: something doesn'\''t work, 2\: the configuration is wrong' \
'health:Whether a running node counts\: exit 0 or 1, for container engines and scripts' \
'backup:Copy the node'\''s counts into a new file, while it runs or not; the copy is checked' \
'import:Take over old counts from a CSV file (\`period,hits\` or \`period,page,hits\`)' \
'export:Write all counts of a site as CSV' \
'figures:Show a site'\''s figures as its pages show them' \
'sources:Show who contributed what to a site'\''s counts' \
'bots:Show how many hits of a site were not counted, by day and kind\: bots, prefetches, repeats' \
'verify:Compare what the node'\''s file, Redis and the other nodes there know of sites; 0\: all agrees, 1\: something differs' \
'forget:Undo an import' \
'completions:Write what a shell needs to complete this command line' \
'manual:Write the manual pages into a folder' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'thongke help commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__backup_commands] )) ||
_thongke__subcmd__help__subcmd__backup_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help backup commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__bots_commands] )) ||
_thongke__subcmd__help__subcmd__bots_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help bots commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__check_commands] )) ||
_thongke__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help check commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__completions_commands] )) ||
_thongke__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help completions commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__export_commands] )) ||
_thongke__subcmd__help__subcmd__export_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help export commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__figures_commands] )) ||
_thongke__subcmd__help__subcmd__figures_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help figures commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__forget_commands] )) ||
_thongke__subcmd__help__subcmd__forget_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help forget commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__health_commands] )) ||
_thongke__subcmd__help__subcmd__health_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help health commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__help_commands] )) ||
_thongke__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help help commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__import_commands] )) ||
_thongke__subcmd__help__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help import commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__manual_commands] )) ||
_thongke__subcmd__help__subcmd__manual_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help manual commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__serve_commands] )) ||
_thongke__subcmd__help__subcmd__serve_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help serve commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__sources_commands] )) ||
_thongke__subcmd__help__subcmd__sources_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help sources commands' commands "$@"
}
(( $+functions[_thongke__subcmd__help__subcmd__verify_commands] )) ||
_thongke__subcmd__help__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'thongke help verify commands' commands "$@"
}
(( $+functions[_thongke__subcmd__import_commands] )) ||
_thongke__subcmd__import_commands() {
    local commands; commands=()
    _describe -t commands 'thongke import commands' commands "$@"
}
(( $+functions[_thongke__subcmd__manual_commands] )) ||
_thongke__subcmd__manual_commands() {
    local commands; commands=()
    _describe -t commands 'thongke manual commands' commands "$@"
}
(( $+functions[_thongke__subcmd__serve_commands] )) ||
_thongke__subcmd__serve_commands() {
    local commands; commands=()
    _describe -t commands 'thongke serve commands' commands "$@"
}
(( $+functions[_thongke__subcmd__sources_commands] )) ||
_thongke__subcmd__sources_commands() {
    local commands; commands=()
    _describe -t commands 'thongke sources commands' commands "$@"
}
(( $+functions[_thongke__subcmd__verify_commands] )) ||
_thongke__subcmd__verify_commands() {
    local commands; commands=()
    _describe -t commands 'thongke verify commands' commands "$@"
}

if [ "$funcstack[1]" = "_thongke" ]; then
    _thongke "$@"
else
    compdef _thongke thongke
fi
