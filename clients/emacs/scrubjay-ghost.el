;;; scrubjay-ghost.el --- Ghost text: shown, kept while it fits, accepted  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Texts are offered for a place; one of them is shown in an overlay.  Typing
;; what it says keeps the rest, anything else makes it go.

;;; Code:

(require 'cl-lib)
(require 'scrubjay-document)
(eval-when-compile (require 'subr-x))

(defface scrubjay-ghost '((t :inherit shadow :slant italic))
  "Ghost text."
  :group 'scrubjay
  :package-version '(scrubjay . "0.1.0"))

;;;; Ghost text

(cl-defstruct (scrubjay-ghost (:conc-name scrubjay-ghost--) (:constructor scrubjay-ghost--make)
                              (:predicate nil) (:copier nil))
  "Texts offered for a place."
  (items nil :documentation "Conses of a text and the number by which the server knows it.")
  (index 0 :documentation "Which of them is shown.")
  (start nil :documentation "Where they were offered.")
  (size nil :documentation "The buffer's size then.")
  (tail nil :documentation "What stood between that place and the end of its line."))

(defvar-local scrubjay-ghost--here nil
  "What is offered in this buffer, or nil.")

(defvar-local scrubjay-ghost--overlay nil
  "The overlay that shows ghost text.")

(defvar-local scrubjay-ghost-shown nil
  "Non-nil while ghost text is shown.
It makes the keys of `scrubjay-ghost-map' active.")

(defun scrubjay-ghost--item (ghost)
  "Return the item of GHOST that is shown."
  (nth (scrubjay-ghost--index ghost) (scrubjay-ghost--items ghost)))

(defun scrubjay-ghost--typed (ghost)
  "Return what was typed since GHOST was offered, nil if it no longer fits there.
It fits if nothing else has changed and the cursor is after what was typed."
  (let* ((start (scrubjay-ghost--start ghost))
         (n-typed (- (point) start)))
    (and (>= n-typed 0)
         (>= start (point-min))
         (= (buffer-size) (+ (scrubjay-ghost--size ghost) n-typed))
         (string= (scrubjay-ghost--tail ghost) (scrubjay-ghost--tail-here))
         (buffer-substring-no-properties start (point)))))

(defun scrubjay-ghost--tail-here ()
  "Return the text between the cursor and the end of its line."
  (buffer-substring-no-properties (point) (line-end-position)))

(defun scrubjay-ghost--rest (ghost)
  "Return what is left of GHOST after what was typed, or nil if nothing is.
The text to show becomes another one if only that continues what was typed."
  (when-let ((typed (scrubjay-ghost--typed ghost))
             (n (length typed))
             (index (scrubjay-ghost--index-with ghost typed)))
    (setf (scrubjay-ghost--index ghost) index)
    (substring (car (scrubjay-ghost--item ghost)) n)))

(defun scrubjay-ghost--index-with (ghost typed)
  "Return the index of a text in GHOST that continues TYPED.
That is the shown one if possible."
  (let ((fits (lambda (item) (and (string-prefix-p typed (car item))
                                  (> (length (car item)) (length typed))))))
    (if (funcall fits (scrubjay-ghost--item ghost))
        (scrubjay-ghost--index ghost)
      (cl-position-if fits (scrubjay-ghost--items ghost)))))

(defun scrubjay-ghost-refresh ()
  "Show what is left of the offer where the cursor is, or nothing."
  (when scrubjay-ghost--here
    (if-let ((rest (scrubjay-ghost--rest scrubjay-ghost--here)))
        (scrubjay-ghost--draw rest)
      (scrubjay-ghost-hide))))

(defun scrubjay-ghost--draw (text)
  "Show TEXT as ghost text at the cursor."
  (unless (overlayp scrubjay-ghost--overlay)
    (setq scrubjay-ghost--overlay (make-overlay (point) (point) nil t)))
  (move-overlay scrubjay-ghost--overlay (point) (point))
  (overlay-put scrubjay-ghost--overlay 'priority 100)
  (overlay-put scrubjay-ghost--overlay 'window (selected-window))
  (overlay-put scrubjay-ghost--overlay 'after-string (scrubjay-ghost--ghostly text))
  (setq scrubjay-ghost-shown t))

(defun scrubjay-ghost--ghostly (text)
  "Return TEXT as it is shown: with the cursor before it."
  (let ((string (propertize text 'face 'scrubjay-ghost)))
    (put-text-property 0 1 'cursor t string)
    string))

(defun scrubjay-ghost-hide ()
  "Show no ghost text."
  (setq scrubjay-ghost--here nil
        scrubjay-ghost-shown nil)
  (when (overlayp scrubjay-ghost--overlay)
    (delete-overlay scrubjay-ghost--overlay)))

(defun scrubjay-ghost-offer (items index)
  "Offer ITEMS at the cursor and show the one at INDEX."
  (setq scrubjay-ghost--here (scrubjay-ghost--make :items items :index index :start (point)
                                                   :size (buffer-size) :tail (scrubjay-ghost--tail-here)))
  (scrubjay-ghost--draw (car (nth index items)))
  (scrubjay-server-notify :textDocument/didShowCompletion
                          `(:item (:command (:arguments [,(cdr (nth index items))])))))

;;;; Accepting it, or not

(defun scrubjay-accept ()
  "Insert the ghost text."
  (interactive "*")
  (scrubjay-ghost--accept #'length))

(defun scrubjay-accept-word (n)
  "Insert the first N words of the ghost text."
  (interactive "*p")
  (scrubjay-ghost--accept (apply-partially #'scrubjay-ghost--n-words (max n 1) (syntax-table))))

(defun scrubjay-accept-line (n)
  "Insert the first N lines of the ghost text."
  (interactive "*p")
  (scrubjay-ghost--accept (apply-partially #'scrubjay-ghost--n-lines (max n 1))))

(defun scrubjay-accept-to-char (char)
  "Insert the ghost text up to and with the first CHAR in it."
  (interactive "*cAccept to char: ")
  (scrubjay-ghost--accept
   (lambda (text)
     (1+ (or (cl-position char text)
             (user-error "There is no %c in the ghost text" char))))))

(defun scrubjay-ghost--n-words (n syntax text)
  "Return how many characters the first N words of TEXT take.
SYNTAX is the syntax table."
  (with-temp-buffer
    (set-syntax-table syntax)
    (insert text)
    (goto-char (point-min))
    (forward-word n)
    (1- (point))))

(defun scrubjay-ghost--n-lines (n text)
  "Return how many characters the first N lines of TEXT take.
Empty lines are not counted."
  (string-match (format "\\`\\(?:[ \t\n]*[^\n]*\\)\\{%d\\}" n) text)
  (match-end 0))

(defun scrubjay-ghost--accept (n-characters)
  "Insert the first characters of the ghost text.
N-CHARACTERS is called with it to get their number."
  (let ((rest (and scrubjay-ghost--here (scrubjay-ghost--rest scrubjay-ghost--here))))
    (unless rest
      (user-error "There is no ghost text here"))
    (let ((n (funcall n-characters rest))
          (ghost scrubjay-ghost--here))
      (insert (substring rest 0 n))
      (if (= n (length rest))
          (scrubjay-ghost--accepted ghost)
        (scrubjay-ghost--accepted-in-part ghost)))))

(defun scrubjay-ghost--accepted (ghost)
  "GHOST has been inserted to its end."
  (scrubjay-ghost-hide)
  (when (scrubjay-document-sync)
    (scrubjay-server-execute "scrubjay.accept" (list (cdr (scrubjay-ghost--item ghost))))))

(defun scrubjay-ghost--accepted-in-part (ghost)
  "GHOST has been inserted in part."
  (scrubjay-ghost-refresh)
  (let ((accepted (buffer-substring-no-properties (scrubjay-ghost--start ghost) (point))))
    (scrubjay-server-notify :textDocument/didPartiallyAcceptCompletion
                            `( :item (:command (:arguments [,(cdr (scrubjay-ghost--item ghost))]))
                               ;; In UTF-16 units, whatever positions are in.
                               :acceptedLength ,(/ (length (encode-coding-string accepted 'utf-16le)) 2)))))

(defun scrubjay-dismiss ()
  "Hide the ghost text; it does not come back at this place unasked."
  (interactive)
  (when scrubjay-ghost--here
    (scrubjay-server-execute "scrubjay.reject" (list (cdr (scrubjay-ghost--item scrubjay-ghost--here))))
    (scrubjay-ghost-hide)))

;;;; Alternatives

(defun scrubjay-ghost-left ()
  "Return what is left of each offered text that still fits, as items."
  (when-let ((ghost scrubjay-ghost--here))
    (let ((typed (or (scrubjay-ghost--typed ghost) "")))
      (cl-loop for (text . number) in (scrubjay-ghost--items ghost)
               when (and (string-prefix-p typed text) (> (length text) (length typed)))
               collect (cons (substring text (length typed)) number)))))

(defun scrubjay-ghost-show-other (n)
  "Show the text that is N after the shown one, among those that still fit."
  (let* ((shown (scrubjay-ghost--item scrubjay-ghost--here))
         (items (scrubjay-ghost-left))
         (index (or (cl-position (cdr shown) items :key #'cdr :test #'equal) 0)))
    (when items
      (scrubjay-ghost-offer items (mod (+ index n) (length items))))))

(provide 'scrubjay-ghost)
;;; scrubjay-ghost.el ends here
