#!/usr/bin/env bash
# From a manifest of speech to the graphs of `base`, stage by stage.
#
#   codec/recipe.sh --manifest data/speech.tsv --noise data/noise --rooms data/rir --sentences data/sentences.txt
#   codec/recipe.sh ... --from 7 --to 8        # some stages only
#
# A stage that was killed goes on where it stopped when it is started again; one that is done is quick. Needs the extras train,
# export and eval, and flite and espeak-ng (Debian). On two cores with bfloat16 units it takes some hours, most of them stage 8.
set -euo pipefail
cd "$(dirname "$0")/.."

manifest= noise= rooms= sentences= runs=runs from=1 to=10 threads=0 python=${PYTHON:-python3}
while [ $# -gt 0 ]; do
    case $1 in
        --manifest) manifest=$2 ;; --noise) noise=$2 ;; --rooms) rooms=$2 ;; --sentences) sentences=$2 ;;
        --runs) runs=$2 ;; --from) from=$2 ;; --to) to=$2 ;; --threads) threads=$2 ;;
        -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "recipe.sh: unknown option $1; see codec/recipe.sh --help" >&2; exit 2 ;;
    esac
    [ $# -ge 2 ] || { echo "recipe.sh: $1 needs a value; see codec/recipe.sh --help" >&2; exit 2; }
    shift 2
done
for each in manifest noise sentences; do
    [ -e "${!each}" ] || { echo "recipe.sh: no ${each}; give --$each (see codec/recipe.sh --help)" >&2; exit 2; }
done
mkdir -p "$runs"

stage() { # number, what it is, command...
    local number=$1 what=$2
    shift 2
    if [ "$number" -lt "$from" ] || [ "$number" -gt "$to" ]; then return; fi
    echo "stage $number: $what"
    "$@"
}

once() { # file that the command leaves, command...
    local made=$1
    shift
    if [ -e "$made" ]; then echo "  done before: $made"; else "$@"; fi
}

corpora() {
    once "$runs/corpus/index.tsv" "$python" -m codec.data.corpus pack --out "$runs/corpus" "$manifest"
    if [ -n "$rooms" ]; then once "$runs/rooms/index.tsv" "$python" -m codec.data.corpus pack-noise "$rooms" --out "$runs/rooms"; fi
    once "$runs/transcribed" "$python" -m codec.data.transcripts --corpus "$runs/corpus"
    touch "$runs/transcribed"
}

other_programs() {
    "$python" -m codec.data.corpus synthesize --hours 5 --sentences "$sentences" --out "$runs/programs"
    once "$runs/corpus-programs/index.tsv" "$python" -m codec.data.corpus pack --out "$runs/corpus-programs" "$runs/programs/speech.tsv"
}

targets() {
    for corpus in corpus corpus-programs; do
        once "$runs/$corpus/frames.npz" "$python" -m codec.data.targets --classifier "$runs/phone-times.pt" \
            --corpus "$runs/$corpus" --picture "$runs/$corpus/targets.png"
    done
}

hear() {
    "$python" -m codec.train.ear --code "$runs/code" --corpus "$runs/corpus" --corpus "$runs/corpus-programs:0.15" --corpus "$runs/spoken:0.2" \
        --noise "$noise" ${rooms:+--rooms "$runs/rooms"} --config codec/base.toml --out "$runs/ear" --threads "$threads"
}

speak() {
    "$python" -m codec.train.voice --sentences "$sentences" --lessons "$runs/voice-data" --out "$runs/voice-distilled" --threads "$threads"
    "$python" -m codec.train.voice_detail --voice "$runs/voice-distilled" --lessons "$runs/voice-data" --out "$runs/voice" --threads "$threads"
}

finish() {
    cp "$runs/phone-times.pt" codec/weights/phone-times.pt
    "$python" -m codec.train.assemble --ear "$runs/ear" --voice "$runs/voice" --out codec/weights/base.safetensors
    "$python" -m export.command --weights codec/weights/base.safetensors --name base --out stream/models/base
}

judge() {
    "$python" -m codec.evaluate.command --manifest "$manifest" --corpus LibriSpeech --utterances 150 --oracles "$runs/phone-times.pt" --out "$runs/eval"
}

stage 1 "speech, rooms and missing transcripts" corpora
stage 2 "speech by hibari" once "$runs/spoken/frames.npz" "$python" -m codec.data.spoken --sentences "$sentences" --count 12000 --out "$runs/spoken"
stage 3 "speech by flite and espeak-ng" other_programs
stage 4 "when phones are said" once "$runs/phone-times.pt" "$python" -m codec.data.alignment --spoken "$runs/spoken" --corpus "$runs/corpus" \
    --hours 3 --out "$runs/phone-times.pt" --threads "$threads"
stage 5 "what is said in real speech" targets
stage 6 "the code, from text alone" "$python" -m codec.train.code --frames "$runs/spoken" \
    --frames "$runs/corpus" --config codec/base.toml --out "$runs/code" --threads "$threads"
stage 7 "the voice" speak
stage 8 "the ear" hear
stage 9 "weights and graphs" finish
stage 10 "figures" judge
